"""`spillway dlq import`: letters of an export on their way back into a queue; letters already there are not sent again.

Into the dead-letter queue, a letter whose body is there is left out. The main queue cannot be searched: the letters
that were sent are noted in a file beside the export, after each batch, so that the same command goes on.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ops.console.interrupts import stopping
from ops.console.screen import WARN
from ops.operate import trail
from ops.operate.dlq import letters, progress_bar
from ops.operate.dlq.archive import BadLine, letters_in
from ops.operate.dlq.desk import Desk
from ops.operate.dlq.letters import Letter
from ops.operate.dlq.look import look
from ops.operate.dlq.notebook import Notebook
from ops.operate.dlq.pace import Pacer
from ops.operate.dlq.queues import LetterQueue
from ops.operate.dlq.redrive import redriven
from shared.errors import InvalidSettings
from shared.queue.attributes import ENTRIES

PER_S = 50.0
MOST_LINES_NAMED = 20
"""The most bad lines that are named."""


@dataclass(slots=True)
class Imported:
    sent: int = 0
    there: int = 0
    refused: int = 0


def import_(desk: Desk, path: Path, to: str, *, is_yes: bool, per_s: float | None, why: str) -> int:
    """Put the letters of a file back; returns 0 if all of them are there."""
    trail.checked_why(why)
    target = desk.main if to == "queue" else desk.dead
    bad, whole = counted(path)
    for one in bad:
        desk.say(f"line {one.number}: {one.why}", WARN)
    name = "the main queue" if to == "queue" else "the dead-letter queue"
    if not is_yes:
        desk.say(f"{letters.counted(whole)} would go into {name}, without those that are there: --yes sends them.")
        return 0
    pacer = Pacer(per_s or PER_S, clock=desk.clock, sleep=desk.sleep)
    with trail.act(desk.stack, f"dlq import into {name}, {letters.counted(whole)}", why=why) as noted:
        with stopping() as is_stopping, progress_bar.shown(desk.console, whole, "letters sent") as on_progress:
            job = Import(path, target, pacer, desk.now_ms, is_stopping, lambda done: on_progress(done, ""))
            done = job.into_queue() if to == "queue" else job.into_dead_letters(desk.clock)
        noted.result = f"{done.sent:,} sent, {done.there:,} there already, {done.refused:,} refused by SQS"
    desk.say(noted.result + ".")
    left = whole - done.sent - done.there - done.refused
    if left:
        desk.say(f"{left:,} were not sent: the same command goes on.", WARN)
    if done.refused:
        desk.say(
            f"SQS takes {letters.counted(done.refused)} at no time: too large, or of a form that it has not.", WARN
        )
    return 0 if not (left or bad or done.refused) else 1


def counted(path: Path) -> tuple[list[BadLine], int]:
    """The first lines that are no letters, and how many are. Raises InvalidSettings."""
    bad, whole = list[BadLine](), 0
    for one in letters_in(path):
        if isinstance(one, Letter):
            whole += 1
        elif len(bad) < MOST_LINES_NAMED:
            bad.append(one)
    return bad, whole


@dataclass(frozen=True, slots=True)
class Import:
    """One file into one queue."""

    path: Path
    target: LetterQueue
    pacer: Pacer
    now_ms: Callable[[], int]
    is_stopping: Callable[[], bool]
    on_progress: Callable[[int], None]

    def into_dead_letters(self, clock: Callable[[], float]) -> Imported:
        """Send letters unchanged, without those whose bodies are there. Raises LettersUnavailable."""
        there = Notebook()
        try:
            look(self.target, lambda one: there.mark_sent(_digest(one)), clock=clock)
            return self._sent(there, _digest, lambda one: one, lambda _: None)
        finally:
            there.close()

    def into_queue(self) -> Imported:
        """Send letters as a redrive does, without those that an earlier run noted. Raises LettersUnavailable."""
        noted = self.path.with_name(self.path.name + ".sent")
        there = Notebook()
        try:
            with noted.open("a+") as file:
                noted.chmod(0o600)
                file.seek(0)
                for line in file:
                    there.mark_sent(line.rstrip())

                def note(ids: Iterable[str]) -> None:
                    file.writelines(f"{one}\n" for one in ids)
                    file.flush()
                    os.fsync(file.fileno())

                return self._sent(there, _name, lambda one: redriven(one, self.now_ms()), note)
        except OSError as error:
            raise InvalidSettings(f"{noted} cannot be written: {error.strerror}") from None
        finally:
            there.close()

    def _sent(
        self,
        there: Notebook,
        name: Callable[[Letter], str],
        made: Callable[[Letter], Letter],
        note: Callable[[Iterable[str]], None],
    ) -> Imported:
        done = Imported()
        for batch in _tens(one for one in letters_in(self.path) if isinstance(one, Letter)):
            while not self.is_stopping() and not self.pacer.wait():
                pass
            if self.is_stopping():
                break
            fresh: dict[str, Letter] = {}
            for one in batch:
                if there.was_sent(name(one)) or name(one) in fresh:
                    done.there += 1
                else:
                    fresh[name(one)] = one
            names = {one.id: key for key, one in fresh.items()}
            sent = self.target.send([made(one) for one in fresh.values()])
            note(names[one] for one in sent.taken)
            for one_id in sent.taken:
                there.mark_sent(names[one_id])
            done.sent += len(sent.taken)
            done.refused += len(sent.refused)
            self.pacer.sent(len(sent.taken))
            self.on_progress(done.sent)
        return done


def _tens(letters: Iterable[Letter]) -> Iterator[list[Letter]]:
    given = iter(letters)
    while batch := list(islice(given, ENTRIES)):
        yield batch


def _digest(letter: Letter) -> str:
    """A letter's identity by its content, because SQS gives it another id each time it is sent."""
    return hashlib.sha256(letter.body.encode("utf-8", "surrogatepass")).hexdigest()


def _name(letter: Letter) -> str:
    """A letter's name by its id in the export and its body: a digest, because a file may hold any text for an id."""
    return hashlib.sha256(f"{letter.id}\n{_digest(letter)}".encode("utf-8", "surrogatepass")).hexdigest()
