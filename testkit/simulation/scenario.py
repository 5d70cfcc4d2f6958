"""A scenario as a data file (TOML): traffic, the fleet, the partner, what goes wrong when, and what is accepted.

Times are seconds from the scenario's beginning, latencies milliseconds as `[median, largest]`.
"""

import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from worker_fn.batch.time_budget import SETTLE_RESERVE_S

FOLDER = Path(__file__).parent / "scenarios"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Traffic:
    """A stream of requests at an even rate, spread over its accounts."""

    accounts: tuple[int, ...] = (1,)
    rate_per_s: float = 10.0
    from_s: float = 0.0
    until_s: float = 60.0
    events: int = 1
    """Events in a request; each is a delivery."""
    poison_every: int = 0
    """Every n-th request holds one event that the partner will never take."""
    users: int = 0
    """FIFO: how many users the requests of an account come from; the order matters within a user."""
    key: str = ""
    """The customer's key that its requests carry."""
    is_revoked: bool = False
    """That key is never good again: its requests may end as dead letters, and no others may."""
    is_trouble: bool = False
    """A flood: left out of the run that the others are compared with."""

    @property
    def messages(self) -> int:
        return int((self.until_s - self.from_s) * self.rate_per_s)


@dataclass(frozen=True, slots=True)
class ApiModel:
    """How the partner behaves when nothing is wrong, and what Spillway knows about it."""

    latency_ms: tuple[float, float] = (60.0, 300.0)
    rate_per_s: float | None = None
    """The rate that it allows; above it, it answers 429."""
    style: str = "token_bucket"
    """How it counts: token_bucket, fixed_window or sliding_window."""
    declared: bool = True
    """Whether the rate is declared. Otherwise Spillway has to learn it."""
    account_rate_per_s: float | None = None
    retry_after: str = "none"
    """The Retry-After of a 429: none, seconds or date."""
    retry_after_s: float = 5.0
    bulk_items: int = 0
    """Items of one bulk call; 0: it takes single calls only."""
    bulk_rate_per_s: float | None = None
    """Bulk calls that it takes of each account."""
    per_item_answers: bool = False
    """A bulk call is answered item by item; otherwise one bad item has the whole call refused."""
    names_the_bad: bool = False
    """The refusal of a whole bulk call names the items that are to blame."""
    in_order: bool = True
    poison_status: int = 422
    """The status for an event that it will never take; 401 or 403: it refuses only that event, not the customer."""


@dataclass(frozen=True, slots=True)
class Fleet:
    max_concurrency: int = 10
    max_in_flight: int = 10
    batch_size: int = 50
    window_s: float = 1.0
    timeout_s: float = 60.0
    visibility_s: float = 365.0
    attempts: int = 3
    call_timeout_s: float = 13.0
    settle_reserve_s: float = SETTLE_RESERVE_S
    max_age_s: float = 72 * 3_600.0
    fifo: bool = False
    fair: bool = True
    """SQS's fair queues: a quiet customer's messages come before a noisy one's. False: in any order."""
    at_once: bool = False
    """All environments may start at the same moment, as when the mapping has just run at its maximum."""
    skew_s: float = 0.0
    """The clock of each environment is off by up to so much, either way."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that goes wrong from `from_s` to `until_s`, with probability `share`."""

    kind: str
    """Of the partner: down, refusing (429 to all), slow, closes, half, unauthorized. Of AWS: state_down,
    state_throttled, settle_fails. Of the workers: dies. Of SQS: twice.
    """
    from_s: float = 0.0
    until_s: float = 1e12
    share: float = 1.0
    period_s: float = 0.0
    """Flapping: on for half of each period."""
    accounts: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    """Of `unauthorized`: the customers' keys that are refused; none named: all."""
    factor: float = 20.0
    answer: str = "503"
    retry_after_s: float | None = None

    def is_on(self, at_s: float) -> bool:
        if not self.from_s <= at_s < self.until_s:
            return False
        return not self.period_s or (at_s - self.from_s) % self.period_s < self.period_s / 2

    def hits(self, account: int | None, key: str) -> bool:
        return (not self.accounts or account in self.accounts) and (not self.keys or key in self.keys)


@dataclass(frozen=True, slots=True)
class ByHand:
    """What an operator sets at `from_s`, until `until_s`: so many calls a second at most; 0: the breaker open."""

    from_s: float
    until_s: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Bands:
    """The accepted figures. Lost, false dead letters, calls in a cool-down and over-admitted must be zero in each."""

    healthy_accounts: tuple[int, ...] = ()
    """The customers whose p99 is compared; none named: all."""
    healthy_from_s: float = 0.0
    healthy_until_s: float = 1e12
    """Only requests accepted in between are compared: where the trouble is everybody's, those before or after it."""
    healthy_p99_ratio: float = 3.0
    waiting: int = 0
    """Messages that may still wait at the end."""
    parked: int = 0
    in_flight: int = 120_000
    duplicate_share: float = 0.0
    """Duplicates over events, on top of none beyond what their causes explain."""
    faults: int | None = None
    """Calls at most that a partner in trouble fails: while it is down it sees probes alone."""
    delivered: int = 0
    """Events at least that have to arrive before the end, where not all can."""
    seconds: float | None = None
    """When everything has to be settled."""
    full_rate_from_s: float | None = None
    """From then on the declared rate is wanted whole: how long it takes is counted from the first second with more than
    one call, which a probe is not.
    """
    full_rate_within_s: float = 6.0


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    title: str
    dies_at_each_step: bool = False
    """Run it once for each step that a worker takes in it, and let the worker die there."""
    calm_ends_s: float = 1e12
    """The latest end of the run that it is compared with."""
    ends_s: float = 7_200.0
    """The latest end; a scenario is over earlier when everything is settled and nothing more will happen."""
    traffic: tuple[Traffic, ...] = (Traffic(),)
    partner: ApiModel = field(default_factory=ApiModel)
    fleet: Fleet = field(default_factory=Fleet)
    trouble: tuple[Trouble, ...] = ()
    by_hand: tuple[ByHand, ...] = ()
    bands: Bands = field(default_factory=Bands)

    def without_trouble(self) -> "Scenario":
        """The run that it is compared with: no trouble, no flood, no poison."""
        calm = tuple(replace(one, poison_every=0) for one in self.traffic if not one.is_trouble)
        fleet = replace(self.fleet, skew_s=0.0)
        return replace(
            self, traffic=calm, trouble=(), by_hand=(), fleet=fleet, ends_s=min(self.ends_s, self.calm_ends_s)
        )

    def at_share(self, share: float) -> "Scenario":
        """The same with a share of the traffic, of the fleet and of the in-flight messages that are accepted."""
        traffic = tuple(replace(one, rate_per_s=one.rate_per_s * share) for one in self.traffic)
        fleet = replace(self.fleet, max_concurrency=max(2, round(self.fleet.max_concurrency * share)))
        bands = replace(
            self.bands,
            in_flight=round(self.bands.in_flight * share),
            delivered=round(self.bands.delivered * share),
        )
        return replace(self, traffic=traffic, fleet=fleet, bands=bands)


def load(path: Path) -> Scenario:
    """Read a scenario. Raises TypeError for a name that no scenario has."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))
    return Scenario(
        name=path.stem,
        title=rows.pop("title"),
        traffic=tuple(_made(Traffic, row) for row in rows.pop("traffic", [{}])),
        partner=_made(ApiModel, rows.pop("partner", {})),
        fleet=_made(Fleet, rows.pop("fleet", {})),
        trouble=tuple(_made(Trouble, row) for row in rows.pop("trouble", [])),
        by_hand=tuple(_made(ByHand, row) for row in rows.pop("by_hand", [])),
        bands=_made(Bands, rows.pop("bands", {})),
        **rows,
    )


def load_all() -> list[Scenario]:
    return [load(path) for path in sorted(FOLDER.glob("*.toml"))]


def _made(kind: type[T], row: dict[str, Any]) -> T:
    unknown = set(row) - {one.name for one in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise TypeError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()})
