"""Letters on their way back: each is in the main queue before it leaves the dead-letter queue, never in neither.

Killed at any point, what was under way, one stride of letters at most, is in both and is sent once more by the next
run; with Ctrl-C the stride is ended first. What of a letter has arrived is not sent again by the worker, which
remembers it (worker_fn/batch/progress.py).

A redriven letter says when (`redriven_ms`, from which the worker counts its age) and how often, and as what it was
dead-lettered before (`history`).
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
"""Letters a second that one hand moves: receive, send and delete take about 20 ms each, for ten."""
STRIDE_S = 0.5
"""A stride is what is sent in so long, at most ten letters a hand."""
EMPTY = 3
"""Empty answers in a row after which nothing more is waited for."""
LOOK_EVERY_S, NOTHING_LEFT_PAUSE_S = 10.0, 5.0
MOST_PAUSE_S = 600.0
"""Live traffic that leaves nothing for so long leaves nothing today: the intake is stopped, or the partner down."""
MOST_HISTORY = 8


@dataclass(slots=True)
class Moved:
    """What a redrive came to."""

    planned: int
    sent: int = 0
    refused: int = 0
    """SQS does not take them as they are: they stay."""
    held_back_s: float = 0.0
    """For so long it waited for live traffic."""
    is_stopped: bool = False
    """By Ctrl-C."""

    gave_way: bool = False
    """It ended as live traffic left nothing."""
    held_up: str = ""
    """What holds it up just now."""

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
        """Send what is planned, `most` letters of it. Raises LettersUnavailable; what was done by then is done."""
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
        """Send letters, then delete them; whether SQS took them all. Of a FIFO queue one at a time: killed in between,
        it is the next one to be sent again, and stays in its place.
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
    """The letter as it is sent: its attributes as they are, and that it is redriven, when and how often."""
    said = {"redriven_ms": str(now_ms), "history": history_after(letter)}
    ours = {name: {"DataType": "String", "StringValue": value} for name, value in said.items()}
    return replace(letter, attributes={**letter.attributes, **ours})


def history_after(letter: Letter) -> str:
    """`2 rejected:422 unmappable`: how often it was redriven, this time included, and as what it lay here each time."""
    times, *before = letter.history.split() or ["0"]
    status = f":{letter.status}" if letter.status.isdecimal() else ""
    return " ".join([str(int(times) + 1), *[*before, letter.reason + status][-MOST_HISTORY:]])
