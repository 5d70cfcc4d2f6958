"""What the fleet knows of a partner (or of one account at it), in one item: limit, breaker, cool-down, counts. Pure.

The item has two halves (shared/state/items.py). Counts, which everybody adds to whoever else does: how many calls of
each second were asked for, and what calls came to. And a value, which is a function of the value before and of what
was counted meanwhile (worker_fn/limits/agreement.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Self

from shared.state import COOL_FROM, COOL_UNTIL, Item, fields_in
from worker_fn.limits.adaptive import BY_HAND, NO_CAP, Bounds, Cap, Limit, lower
from worker_fn.limits.breaker import Breaker

DELIVERED, FAULTS, GOOD, TIMEOUTS, TOOK_MS = "td", "tf", "tg", "tt", "tm"
"""What calls came to since the value was written last, under short names. GOOD: arrived since the first fault."""
PUSHED = "p"
"""With the limit's generation: 429s about it. Those about the one before, an echo, drop out."""


@dataclass(frozen=True, slots=True)
class Flow:
    limit: Limit = field(default_factory=Limit)
    generation: int = 0
    """How often the limit was lowered: a push-back is about one of them."""
    breaker: Breaker = field(default_factory=Breaker)
    cap: Cap = NO_CAP
    """What an operator set: `limit` keeps below it."""
    cool_until_ms: int = 0
    cool_from_ms: int = 0
    """When that was asked for, by the clock of the worker that was asked."""
    cool_ends: int = 0
    """How often an operator ended one: what a worker was told before the last time is over."""
    delivered_ms: int = 0
    """When a call was last delivered."""
    latency_ms: float = 0.0
    """How long a call takes, smoothed; 0 while nobody knows."""
    share_until_ms: int = 0
    """Until when everybody keeps to its share: some called at theirs while the table was out of reach."""
    alive_ms: int = 0
    """When somebody wrote here: the table was in reach then."""
    booked_ms: int = 0
    """Up to when messages that wait for this account's rate have been given a time to come back."""
    counts: dict[str, int] = field(default_factory=dict)
    """The other half of the item: what of each second was asked for, and what was not taken into the value yet."""

    @classmethod
    def of(cls, item: Item) -> Self:
        """Read an item, of another version of ours too: what is missing, or of another kind, is as at the start."""
        value, counts = item.value, dict(item.counts)
        read = {**fields_in(value, cls), "counts": counts}
        for name, part in (("limit", Limit), ("breaker", Breaker), ("cap", Cap)):
            known = fields_in(value.get(name), part)
            if known.get("per_second") == 0:  # nobody writes it, and it would never grow
                del known["per_second"]
            read[name] = part(**known)
        if counts.get(COOL_UNTIL, 0) > read.get("cool_until_ms", 0):
            read |= {"cool_until_ms": counts[COOL_UNTIL], "cool_from_ms": counts.get(COOL_FROM, 0)}
        return cls(**read)

    def to_item(self) -> dict[str, Any]:
        """The value, as JSON. What is as at the start is left out: an item of over 1 KB costs two writes."""
        value = replace(self, counts={})
        if self.cool_until_ms == self.counts.get(COOL_UNTIL):
            value = replace(value, cool_until_ms=0, cool_from_ms=0)
        return _brief(value)

    def written_to(self, item: Item) -> Item:
        """The item with this in it."""
        return replace(item, value=self.to_item(), counts=self.counts)

    @property
    def pushed(self) -> str:
        """The count of push-backs about the limit as it is."""
        return f"{PUSHED}{self.generation}"

    @property
    def has_news(self) -> bool:
        """Whether something was counted since the value was written."""
        return any(map(_is_news, self.counts))

    @property
    def why(self) -> str:
        """Why the limit is what it is."""
        is_by_hand = self.cap.per_second is not None and self.limit.per_second == self.cap.per_second
        return BY_HAND if is_by_hand else self.limit.why

    def rate(self, bounds: Bounds) -> float | None:
        """The limit that is in force: what is declared now, also where nobody wrote it yet, or learnt below it."""
        return lower(self.limit.per_second, bounds.highest)

    def added(self, counts: Mapping[str, int]) -> "Flow":
        """With more in its counts, as the table adds it."""
        return replace(self, counts=self.counts | {name: self.counts.get(name, 0) + n for name, n in counts.items()})

    def uncounted(self) -> "Flow":
        """Without what calls came to: what of each second was asked for stays."""
        return replace(self, counts={name: count for name, count in self.counts.items() if not _is_news(name)})


@dataclass(frozen=True, slots=True)
class Tally:
    """What a call came to. `faults` counts 5xx, time-outs and broken connections; `timeouts` those that timed out."""

    delivered: int = 0
    refused: int = 0
    faults: int = 0
    timeouts: int = 0
    took_ms: int = 0
    """What an answered call took."""
    cool_until_ms: int = 0
    asks_long: bool = False
    """All were asked to wait for longer than one answer stops everybody: from then on one probe at a time."""
    probe: bool | None = None
    """Whether the probe that was ours arrived; None: there was none."""
    said: str = ""
    """What it was answered."""

    @property
    def is_for_all(self) -> bool:
        """Whether everybody should know at once."""
        return bool(self.cool_until_ms or self.probe is not None)

    def counts(self, flow: Flow) -> dict[str, int]:
        """As counts of an item that stands so."""
        counts = {
            DELIVERED: self.delivered,
            FAULTS: self.faults,
            GOOD: self.delivered + self.refused if FAULTS in flow.counts else 0,
            TIMEOUTS: self.timeouts,
            TOOK_MS: self.took_ms,
            flow.pushed: self.refused,
        }
        return {name: count for name, count in counts.items() if count}


def _is_news(name: str) -> bool:
    return name[0] in {"t", PUSHED}


def _brief(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not as at the start."""
    start, told = type(value)(), {one.name: getattr(value, one.name) for one in fields(value)}
    moved = {name: one for name, one in told.items() if one != getattr(start, name)}
    return {name: _brief(one) if is_dataclass(one) else one for name, one in moved.items()}
