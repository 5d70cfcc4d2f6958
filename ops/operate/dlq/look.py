"""A look through the dead-letter queue that takes nothing out of it.

SQS has no way to look: a letter is received, which hides it for a while, and given back at the end. A look is bounded
in time and in letters; one that is killed leaves letters hidden for HIDDEN_S at most, and loses none.
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
"""How long a letter stays hidden that was looked at: longer than a look, which so sees each one once."""
MOST_LETTERS = 100_000
"""SQS hands out only about 120,000 before some are given back."""
ASKED_AT_ONCE = 40
"""Letters that are asked for at once."""
EMPTY_TWICE = 2
"""An empty answer is believed the second time: a queue of many letters gives one now and then."""


@dataclass(slots=True)
class Looked:
    """How far a look got. `there` is SQS's rough count before it began."""

    letters: int = 0
    there: int = 0
    hidden: int = 0
    """Letters that were hidden before it began: held by somebody else, or by a look that was killed."""
    bounded_by: str = ""
    """The bound that ended it before all letters were seen."""
    not_given_back: int = 0

    def said(self, *, is_fifo: bool) -> list[str]:
        """The notes about a look that may not have seen everything."""
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
    """Show every letter to `each`, once, until that returns True, because it has seen enough. Always gives all of them
    back.

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
