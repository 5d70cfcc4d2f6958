"""What a check is: what to send, and what to object to in the answers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ops.certify.exchange import Exchange, Sent
from ops.certify.objections import Objection
from ops.certify.script import Script


@dataclass(frozen=True, slots=True)
class Check:
    """Both functions are pure. Answers stand in the order of what was sent; where the time was up there are fewer."""

    name: str
    """What --only and --skip take."""
    says: str
    """What it does, behind `spillway certify: ...` while it runs."""
    sends: Callable[[Script], Sequence[Sent]]
    objections: Callable[[Sequence[Exchange], Script], Iterable[Objection]]
    at_once: bool = False
    """Send everything in parallel."""
    teaches: bool = False
    """What it sends is plain: later checks vary what was accepted, and leave out a kind of which nothing was."""
