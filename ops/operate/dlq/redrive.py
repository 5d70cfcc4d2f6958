"""Letters on their way back: each is in the main queue before it leaves the dead-letter queue, never in neither.

If it is killed, at most one stride of letters is in both queues, and the next run sends it once more; after Ctrl-C the
stride is ended first. Deliveries of a letter that arrived are not made again, because the worker remembers them
(worker_fn/batch/progress.py).

A redriven letter says when it was redriven (`redriven_ms`, from which the worker counts its age), how often, and for
which reasons it was dead-lettered before (`history`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ops.operate.dlq.archive import Archive
from ops.operate.dlq.letters import Letter
from ops.operate.dlq.look import HIDDEN_S
from ops.operate.dlq.notebook import Notebook
from ops.operate.dlq.pace import Pacer
from ops.operate.dlq.queues import MOST_HANDS, LetterQueue
from shared.queue.attributes import ENTRIES

HAND_PER_S = 50.0
"""Letters a second that one thread moves: receive, send and delete take about 20 ms each, for ten."""
STRIDE_S = 0.5
"""The time of a stride: the letters that are sent in it, at most ten for each thread."""
EMPTY = 3
"""After this many empty answers in a row no more letters are expected."""
LOOK_EVERY_S, NOTHING_LEFT_PAUSE_S = 10.0, 5.0
MOST_PAUSE_S = 600.0
"""If live traffic leaves nothing for this long, the intake is stopped or the partner is down: the redrive ends."""
MOST_HISTORY = 8


@dataclass(slots=True)
class Moved:
    """The result of a redrive."""

    planned: int
    sent: int = 0
    refused: int = 0
    """Letters that SQS does not take as they are: they stay."""
    held_back_s: float = 0.0
    """How long it waited for live traffic."""
    is_stopped: bool = False
    """Ctrl-C ended it."""

    gave_way: bool = False
    """It ended because live traffic left nothing."""
    held_up: str = ""
    """The cause that holds it up at the moment."""

    @property
    def left(self) -> int:
        return max(0, self.planned - self.sent - self.refused)


@dataclass(frozen=True, slots=True)
class Redrive:
    """Everything a redrive needs. `is_meant` decides on letters of a FIFO queue that were behind others when the plan
    was made: they are exported before they are sent.
    """

    dead: LetterQueue
    main: LetterQueue
    notebook: Notebook
    pacer: Pacer
    now_ms: Callable[[], int]
    is_meant: Callable[[Letter], bool] = lambda _: False
    archive: Archive | None = None
    is_stopping: Callable[[], bool] = lambda: False
    is_busy: Callable[[], bool] = lambda: False
    """Whether live traffic waits."""
    on_progress: Callable[[Moved], None] = lambda _: None
    hidden_s: int = HIDDEN_S

    @property
    def hands(self) -> int:
        return 1 if self.dead.is_fifo else min(MOST_HANDS, max(1, math.ceil(self.pacer.per_s / HAND_PER_S)))

    def run(self, planned: int, *, most: int) -> Moved:
        """Send what is planned, at most `most` letters. Raises LettersUnavailable; letters sent by then stay sent."""
        moved, empty, paused_s = Moved(planned=min(planned, most)), 0, 0.0
        stride = max(1, min(ENTRIES * self.hands, math.floor(self.pacer.per_s * STRIDE_S)))
        looked_s = float("-inf")
        try:
            while (moved.left or self.dead.is_fifo) and moved.sent < most:
                if self.is_stopping():
                    moved.is_stopped = True
                    break
                if not self.pacer.wait():
                    continue
                if self.pacer.now_s() - looked_s >= LOOK_EVERY_S:
                    moved.held_up = "waiting for live traffic" if self.is_busy() else ""
                    if moved.held_up:
                        moved.held_back_s += NOTHING_LEFT_PAUSE_S
                        paused_s += NOTHING_LEFT_PAUSE_S
                        if paused_s >= MOST_PAUSE_S:
                            moved.gave_way = True
                            break
                        self.pacer.pause(NOTHING_LEFT_PAUSE_S)
                        self.on_progress(moved)
                        continue
                    looked_s, paused_s = self.pacer.now_s(), 0.0
                found = self.dead.receive(self.hidden_s, most=min(stride, max(1, most - moved.sent)))
                empty = 0 if found else empty + 1
                if empty >= EMPTY:
                    break
                self._move(found, moved)
                self.on_progress(moved)
        finally:
            for handles in self.notebook.let_go():
                self.dead.give_back(handles)
        return moved

    def _move(self, found: Sequence[Letter], moved: Moved) -> None:
        late = [one for one in found if self.notebook.was_sent(one.id)]
        chosen = [one for one in found if one not in late and self._is_chosen(one)]
        ids = {one.id for one in (*late, *chosen)}
        for one in found:
            if one.id not in ids:
                self.notebook.hold(one.id, one.handle)
        self.dead.delete(late)
        held = set[str | None]()
        for some in [[one] for one in chosen] if self.dead.is_fifo else [chosen]:
            if self.dead.is_fifo and some[0].group_id in held:
                self.dead.give_back([some[0].handle])
            elif some and not self._sent(some, moved):
                held |= {one.group_id for one in some}

    def _sent(self, letters: Sequence[Letter], moved: Moved) -> bool:
        """Send letters, then delete them; returns whether SQS took them all. On a FIFO queue one at a time: after a
        kill in between, that letter is the next one to be sent again, and stays in its place.
        """
        now_ms = self.now_ms()
        sent = self.main.send([redriven(one, now_ms) for one in letters])
        for letter_id in sent.taken:
            self.notebook.mark_sent(letter_id)
        moved.sent += len(sent.taken)
        self.pacer.sent(len(sent.taken))
        self.dead.delete([one for one in letters if one.id in sent.taken])
        for one in letters:
            if one.id in sent.refused:
                self.notebook.plan(one.id, "")
                self.notebook.hold(one.id, one.handle)
        moved.refused += len(sent.refused)
        gone = {*sent.taken, *sent.refused}
        self.dead.give_back([one.handle for one in letters if one.id not in gone])
        return len(sent.taken) == len(letters)

    def _is_chosen(self, letter: Letter) -> bool:
        fate = self.notebook.fate(letter.id)
        if fate is not None:
            return bool(fate)
        if not self.dead.is_fifo or not self.is_meant(letter):
            return False
        if self.archive is not None:
            self.archive.write(letter)
            self.archive.flush()
        return True


def redriven(letter: Letter, now_ms: int) -> Letter:
    """The letter to send: its attributes, and when and how often it was redriven."""
    said = {"redriven_ms": str(now_ms), "history": history_after(letter)}
    ours = {name: {"DataType": "String", "StringValue": value} for name, value in said.items()}
    return replace(letter, attributes={**letter.attributes, **ours})


def history_after(letter: Letter) -> str:
    """`2 rejected:422 unmappable`: how often it was redriven, this time included, and its reason each time before."""
    times, *before = letter.history.split() or ["0"]
    status = f":{letter.status}" if letter.status.isdecimal() else ""
    return " ".join([str(int(times) + 1), *[*before, letter.reason + status][-MOST_HISTORY:]])
