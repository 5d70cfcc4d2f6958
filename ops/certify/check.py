"""A check: the requests to send, and the objections to their answers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ops.certify.exchange import Exchange, Sent
from ops.certify.objections import Objection
from ops.certify.script import Script


@dataclass(frozen=True, slots=True)
class Check:
    """Both functions are pure. Answers are in the order of the requests; there are fewer if the time was up."""

    name: str
    """The name for --only and --skip."""
    says: str
    """Text for `spillway certify: ...` while the check runs."""
    sends: Callable[[Script], Sequence[Sent]]
    objections: Callable[[Sequence[Exchange], Script], Iterable[Objection]]
    at_once: bool = False
    """Send everything in parallel."""
    teaches: bool = False
    """Its requests are plain: later checks vary the accepted ones, and leave out a kind of which none was accepted."""
