"""What truly happened in a simulation, kept apart from what the worker believes; judge.py judges it."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that ingest accepted and put on the queue."""

    id: str
    account: int
    at_s: float
    items: tuple[str, ...]
    poison: frozenset[str] = frozenset()
    """Items that the partner never takes."""
    group: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that the partner saw begin."""

    at_s: float
    environment: int
    account: int
    items: tuple[str, ...]
    ended: str = ""
    """accepted, refused (429), fault, rejected, unauthorized."""


@dataclass(frozen=True, slots=True)
class CoolDown:
    """The partner asked for a pause: at `at_s` this environment learnt of it, for calls of `account` (None: all)."""

    at_s: float
    until_s: float
    environment: int
    account: int | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A cool-down was written to the state table, where the fleet can read it from `at_s` on."""

    at_s: float
    until_s: float
    account: int | None


@dataclass(slots=True)
class Truth:
    sent: dict[str, Sent] = field(default_factory=dict)
    accepted: dict[str, list[float]] = field(default_factory=dict)
    """Item -> when the partner took it; more than once is a duplicate."""
    calls: list[Call] = field(default_factory=list)
    cool_downs: list[CoolDown] = field(default_factory=list)
    recorded: list[Recorded] = field(default_factory=list)
    in_flight_most: int = 0
    unsure: Counter[str] = field(default_factory=Counter)
    """Item -> how often the worker could not know that the partner took it: the bound of duplicates. The causes are an
    answer that never came, a death, a second copy from SQS, and progress that could not be written or read.
    """
    deaths: int = 0
    timeouts: int = 0
    """Invocations that ended by Lambda's time-out: the worker should never run into it."""
    steps: int = 0
    invocations: int = 0
    paid_s: float = 0.0
    state_s: float = 0.0
    """The longest that a call to the state table took while it answered."""
