"""A look through the dead-letter queue that takes nothing out of it.

SQS lets nobody look: a letter is received, which hides it for a while, and given back at the end. Bounded in time and
in letters; a look that is killed leaves letters out of sight for HIDDEN_S at most, and none is ever lost.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ops.operate.dlq.letters import Letter
from ops.operate.dlq.notebook import Notebook
from ops.operate.dlq.queues import LetterQueue

LOOK_S = 120.0
"""How long a look may take."""
HIDDEN_S = 150
"""How long a letter stays out of sight that was looked at: a look is shorter, and sees each one once."""
MOST_LETTERS = 100_000
"""SQS hands out no more than about 120,000 before some are given back."""
ASKED_AT_ONCE = 40
"""Letters that are asked for at once."""
EMPTY_TWICE = 2
"""A queue of many letters answers with none now and then."""


@dataclass(slots=True)
class Looked:
    """How far a look came. `there` is what SQS counted, roughly, before it began."""

    letters: int = 0
    there: int = 0
    hidden: int = 0
    """What was out of sight before it began: with somebody else, or left by a look that was killed."""
    bounded_by: str = ""
    """What ended it before all was seen."""
    not_given_back: int = 0

    def said(self, *, is_fifo: bool) -> list[str]:
        """What to tell of a look that may not have seen everything."""
        lines = []
        if self.bounded_by:
            lines.append(f"Looked at {self.letters:,} of about {self.there:,} letters: {self.bounded_by}.")
        elif is_fifo and self.there > self.letters:
            lines.append(
                f"Looked at {self.letters:,} of about {self.there:,} letters: a FIFO queue shows the first ten of each"
                " user at most."
            )
        if self.hidden:
            lines.append(
                f"About {self.hidden:,} letters were out of sight: somebody looks at them, or a command was cut off."
                f" They are back within {HIDDEN_S} s."
            )
        return lines


def look(
    queue: LetterQueue,
    each: Callable[[Letter], bool | None],
    *,
    most: int = MOST_LETTERS,
    within_s: float = LOOK_S,
    clock: Callable[[], float] = time.monotonic,
) -> Looked:
    """Show every letter to `each`, once, until it says True: it has seen enough. Gives all of them back, always.

    Raises LettersUnavailable.
    """
    depth = queue.depth()
    looked, ends_s = Looked(there=depth.visible, hidden=depth.hidden), clock() + within_s
    notebook, empty = Notebook(), 0
    hidden_s = max(1, min(HIDDEN_S, round(within_s + 30)))
    try:
        while empty < EMPTY_TWICE and not (empty and looked.letters >= depth.visible):
            if clock() >= ends_s:
                looked.bounded_by = f"{within_s:.0f} s were over"
                return looked
            if looked.letters >= most:
                looked.bounded_by = "no more are looked at at once" if most == MOST_LETTERS else f"asked for {most:,}"
                return looked
            found = queue.receive(hidden_s, most=min(ASKED_AT_ONCE, most - looked.letters))
            empty = 0 if found else empty + 1
            fresh = [one for one in found if notebook.hold(one.id, one.handle)]
            for one in fresh:
                looked.letters += 1
                if each(one):
                    return looked
        return looked
    finally:
        for handles in notebook.let_go():
            looked.not_given_back += queue.give_back(handles)
        notebook.close()
