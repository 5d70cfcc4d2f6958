"""What the fleet knows of a partner (or of one account at it), in one item: limit, breaker, cool-down, counts. Pure.

The item has two halves (shared/state/items.py). To the counts every worker adds at any time: how many calls of each
second were asked for, and how calls ended. The value is computed from the value before and the counts since then
(worker_fn/limits/agreement.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Self

from shared.state import COOL_FROM, COOL_UNTIL, Item, fields_in
from worker_fn.limits.adaptive import NO_CAP, Bounds, Cap, Limit, lower
from worker_fn.limits.breaker import Breaker

BY_HAND = "by hand"
DELIVERED, FAULTS, GOOD, TIMEOUTS, TOOK_MS = "td", "tf", "tg", "tt", "tm"
"""Results of calls since the value was written, under short names. GOOD: calls that arrived since the first fault."""
PUSHED = "p"
"""Followed by the limit's generation: 429s under that limit. Those under an earlier limit are echoes, and ignored."""


@dataclass(frozen=True, slots=True)
class Flow:
    limit: Limit = field(default_factory=Limit)
    generation: int = 0
    """How often the limit was lowered; each push-back (429) counts for the generation that it was about."""
    breaker: Breaker = field(default_factory=Breaker)
    cap: Cap = NO_CAP
    """The limit that an operator set: `limit` does not exceed it."""
    cool_until_ms: int = 0
    cool_from_ms: int = 0
    """When the partner asked for the cool-down, by the clock of the worker that it answered."""
    cool_ends: int = 0
    """How often an operator ended a cool-down: one that a worker learnt of before the last time is over."""
    delivered_ms: int = 0
    """When a call was last delivered."""
    latency_ms: float = 0.0
    """How long a call takes, smoothed; 0 while unknown."""
    share_until_ms: int = 0
    """Until when every worker keeps to its share of the limit, because some did while the table was out of reach."""
    alive_ms: int = 0
    """The last sign of life of a worker or the tick: the table was in reach then."""
    booked_ms: int = 0
    """Until when return times are taken by messages that wait for this account's rate."""
    counts: dict[str, int] = field(default_factory=dict)
    """The other half of the item: how much of each second was asked for, and results not yet taken into the value."""

    @classmethod
    def of(cls, item: Item) -> Self:
        """Read an item, even another release's: a field that is missing, or of another type, has its initial value."""
        value, counts = item.value, dict(item.counts)
        read = {**fields_in(value, cls), "counts": counts}
        for name, part in (("limit", Limit), ("breaker", Breaker), ("cap", Cap)):
            known = fields_in(value.get(name), part)
            if known.get("per_second") == 0:  # no worker writes a 0, and it would never grow
                del known["per_second"]
            read[name] = part(**known)
        if counts.get(COOL_UNTIL, 0) > read.get("cool_until_ms", 0):
            read |= {"cool_until_ms": counts[COOL_UNTIL], "cool_from_ms": counts.get(COOL_FROM, 0)}
        return cls(**read)

    def to_item(self) -> dict[str, Any]:
        """The value, as JSON, without fields that have their initial value: an item of over 1 KB costs two writes."""
        value = replace(self, counts={})
        if self.cool_until_ms == self.counts.get(COOL_UNTIL):
            value = replace(value, cool_until_ms=0, cool_from_ms=0)
        return _brief(value)

    def written_to(self, item: Item) -> Item:
        """The item with this flow as its content."""
        return replace(item, value=self.to_item(), counts=self.counts)

    @property
    def pushed(self) -> str:
        """The name of the count of push-backs (429) under the present limit."""
        return f"{PUSHED}{self.generation}"

    @property
    def has_news(self) -> bool:
        """Whether a result was counted since the value was written."""
        return any(map(_is_news, self.counts))

    @property
    def why(self) -> str:
        """Why the limit is what it is."""
        is_by_hand = self.cap.per_second is not None and self.limit.per_second == self.cap.per_second
        return BY_HAND if is_by_hand else self.limit.why

    def rate(self, bounds: Bounds) -> float | None:
        """The limit in force: the lower of the learnt one and the declared one, which need not be in the item yet."""
        return lower(self.limit.per_second, bounds.highest)

    def added(self, counts: Mapping[str, int]) -> "Flow":
        """This flow after the table has added `counts` to its own."""
        return replace(self, counts=self.counts | {name: self.counts.get(name, 0) + n for name, n in counts.items()})

    def uncounted(self) -> "Flow":
        """This flow without the counted results; how much of each second was asked for stays."""
        return replace(self, counts={name: count for name, count in self.counts.items() if not _is_news(name)})


@dataclass(frozen=True, slots=True)
class Tally:
    """A call's result. `faults` counts 5xx, time-outs and broken connections; `timeouts` those that timed out."""

    delivered: int = 0
    refused: int = 0
    faults: int = 0
    timeouts: int = 0
    took_ms: int = 0
    """How long the call took."""
    cool_until_ms: int = 0
    asks_long: bool = False
    """The partner asked everybody to wait for longer than LONGEST_FOR_ALL_S: after that, one probe at a time."""
    probe: bool | None = None
    """Whether this worker's probe arrived; None: the call was no probe."""
    said: str = ""
    """The answer to the probe."""

    @property
    def is_for_all(self) -> bool:
        """Whether the fleet should know at once."""
        return bool(self.cool_until_ms or self.probe is not None)

    def counts(self, flow: Flow) -> dict[str, int]:
        """This result as counts to add to the item, whose content is `flow`."""
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
    """The fields of a dataclass that do not have their initial value."""
    start, told = type(value)(), {one.name: getattr(value, one.name) for one in fields(value)}
    moved = {name: one for name, one in told.items() if one != getattr(start, name)}
    return {name: _brief(one) if is_dataclass(one) else one for name, one in moved.items()}
