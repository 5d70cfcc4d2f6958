"""What the fleet knows of a partner (or of one account at it), in one item: limit, cool-down, breaker, counts. Pure.

The item has two halves (shared/state.py). Counts, which everybody adds to whoever else does: how many calls of each
second were asked for, and what calls came to. And a value, which is a function of the value before and of what was
counted meanwhile: whoever sees that a step is due takes the counts into it (`fold`), on the condition that nobody else
did. So the rules hold under any interleaving of workers.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self

from shared.state import COOL_FROM, COOL_UNTIL, Item
from worker_fn.limits import adaptive, breaker, windows
from worker_fn.limits.adaptive import Bounds, Limit
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.cap import BY_HAND, NO_CAP, Cap, within
from worker_fn.limits.cap import uncapped as limit_after

LONGEST_COOL_DOWN_S = 900.0
"""How long an account is left alone at most for what it was answered, or a message; then it is tried again."""
LONGEST_FOR_ALL_S = 60.0
"""How long one answer stops everybody. Whoever asks for more is asked in return, by one probe at a time."""
LONG_COOL_DOWN_MS = 60_000
"""From here on a cool-down stops the intake, as an open breaker does: it takes about so long to stop it and start it
again.
"""
LONGEST_LINE_MS = 300_000
"""How far ahead an account's messages are given a time to come back: its rate times that is what it has in flight at
most.
"""
MOST_IN_LINE = 1_000
"""Messages that an account may have waiting by visibility, however large its rate: the queue has 120,000 for all."""
TICK_MS = 60_000
"""How often the worker's tick comes (infra/tick.yml): it writes a sign of life, whether there is anything to do or not.
"""
SILENCE_MS = TICK_MS + 15_000
"""When nobody wrote for so long, not even a tick, the table was out of reach, and others may call at their share."""
ALIVE_EVERY_MS = 5_000
"""A sign of life that is newer is not renewed."""
DELIVERED, FAULTS, GOOD, TIMEOUTS, TOOK_MS = "td", "tf", "tg", "tt", "tm"
"""What calls came to since the value was written last: counts under short names. GOOD: those that arrived since the
first fault.
"""
PUSHED = "p"
"""With the limit's generation: 429s about it. Those about the one before, an echo, drop out."""
RETURN_MS = 12_000
"""How long everybody keeps to its share then, and to the end of that second: by that time all have noticed that the
table is there.
"""
HEALTHY_MS = 600_000
"""A partner that took a call in the last ten minutes is not down: what it answers to another call is about that call.
"""


class Because(StrEnum):
    """Why a call may not be made now."""

    COOL_DOWN = "cool_down"
    BREAKER = "breaker"
    RATE = "rate"
    SUSPENDED = "suspended"
    """The account's credentials were refused a moment ago."""
    PAUSED = "paused"
    """An operator paused the intake."""
    TIME = "time"
    """The invocation's time is over; the partner has nothing to do with it."""


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
    """Until when everybody keeps to its share: some called at theirs while the table was out of reach, and may still.
    """
    alive_ms: int = 0
    """When somebody wrote here: the table was in reach then."""
    booked_ms: int = 0
    """Up to when messages that wait for this account's rate have been given a time to come back."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """The other half of the item: what of each second was asked for, and what was not taken into the value yet."""

    def to_item(self) -> dict[str, Any]:
        """The value, as JSON; `from_item` reads it back. What is as at the start is left out: an item of over 1 KB
        costs two writes.
        """
        value = self
        if self.cool_until_ms == self.counts.get(COOL_UNTIL):
            value = replace(value, cool_until_ms=0, cool_from_ms=0)
        return _brief(replace(value, counts={}))

    @classmethod
    def from_item(cls, value: Mapping[str, Any], counts: Mapping[str, int] | None = None) -> Self:
        """Read an item, of another version of ours too: what is unknown is left out, what is missing is as at the
        start.
        """
        read, counts = _known(cls, value), dict(counts or {})
        read["limit"] = Limit(**_known(Limit, value.get("limit", {})))
        read["breaker"] = Breaker(**_known(Breaker, value.get("breaker", {})))
        read["cap"] = Cap(**_known(Cap, value.get("cap", {})))
        if counts.get(COOL_UNTIL, 0) > value.get("cool_until_ms", 0):
            read |= {"cool_until_ms": counts[COOL_UNTIL], "cool_from_ms": counts.get(COOL_FROM, 0)}
        return cls(**{**read, "counts": counts})

    @classmethod
    def of(cls, item: Item) -> Self:
        return cls.from_item(item.value, item.counts)

    def written_to(self, item: Item) -> Item:
        """The item with this in it."""
        return replace(item, value=self.to_item(), counts=self.counts)

    @property
    def pushed(self) -> str:
        """The count of push-backs about the limit as it is."""
        return f"{PUSHED}{self.generation}"

    @property
    def why(self) -> str:
        """Why the limit is what it is."""
        is_by_hand = self.cap.per_second is not None and self.limit.per_second == self.cap.per_second
        return BY_HAND if is_by_hand else self.limit.why

    def rate(self, bounds: Bounds) -> float | None:
        """The limit that is in force: what is declared now, also where nobody wrote it yet, or learnt below it."""
        return min((one for one in (self.limit.per_second, bounds.highest) if one is not None), default=None)


@dataclass(frozen=True, slots=True)
class Unlimited:
    """No rate is known or declared, and nothing forbids: call freely."""


@dataclass(frozen=True, slots=True)
class AtRate:
    """Nothing forbids, and calls have numbers at `limit` calls a second."""

    limit: float


@dataclass(frozen=True, slots=True)
class ProbeIsDue:
    """The breaker is open, and lets one call through."""


@dataclass(frozen=True, slots=True)
class Wait:
    """No call before `until_ms`, and why; ask again then."""

    until_ms: int
    because: Because


Ruling = Unlimited | AtRate | ProbeIsDue | Wait
"""All that can be the case. That no rate is known is said in so many words: nothing else may be read as it."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What calls came to. `faults` counts 5xx, time-outs and broken connections; `timeouts` those of them that timed
    out.
    """

    delivered: int = 0
    refused: int = 0
    faults: int = 0
    timeouts: int = 0
    took_ms: int = 0
    """What the answered calls took, added up."""
    good: int = 0
    """Those that arrived, or were refused, since the first fault."""
    cool_until_ms: int = 0
    asks_long: bool = False
    """All were asked to wait for longer than one answer stops everybody: from then on one probe at a time."""
    probe: bool | None = None
    """Whether the probe that was ours arrived; None: there was none."""
    said: str = ""
    """What it was answered."""

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.delivered + other.delivered,
            self.refused + other.refused,
            self.faults + other.faults,
            self.timeouts + other.timeouts,
            self.took_ms + other.took_ms,
            self.good + (other.delivered + other.refused if self.faults else other.good),
            max(self.cool_until_ms, other.cool_until_ms),
            self.asks_long or other.asks_long,
            self.probe if other.probe is None else other.probe,
            self.said if other.probe is None else other.said,
        )

    @property
    def counted(self) -> "Tally":
        """What of it is counts."""
        return replace(self, cool_until_ms=0, asks_long=False, probe=None, said="")

    @property
    def of_all(self) -> "Tally":
        """What of it concerns everybody, and at once."""
        return Tally(cool_until_ms=self.cool_until_ms, asks_long=self.asks_long, probe=self.probe, said=self.said)

    @property
    def is_of_all(self) -> bool:
        """Whether everybody should know at once."""
        return bool(self.cool_until_ms or self.probe is not None)

    @property
    def is_urgent(self) -> bool:
        """Whether the fleet should know soon."""
        return bool(self.refused or self.faults or self.is_of_all)

    def counts(self, flow: Flow) -> dict[str, int]:
        """As counts of the item."""
        good = self.delivered + self.refused if FAULTS in flow.counts and not self.faults else self.good
        told = {
            DELIVERED: self.delivered,
            FAULTS: self.faults,
            GOOD: good,
            TIMEOUTS: self.timeouts,
            TOOK_MS: self.took_ms,
            flow.pushed: self.refused,
        }
        return {name: count for name, count in told.items() if count}


NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class Ask:
    """What a worker asks for: `wanted` calls that it can start until `until_ms`, at most so many a window."""

    now_ms: int
    until_ms: int
    wanted: int
    most_a_window: int
    probe_lease_ms: int = breaker.PROBE_LEASE_MS


def ruling(flow: Flow, bounds: Bounds, *, now_ms: int) -> Ruling:
    """What holds for a call now. A cool-down and an open breaker come before the rate."""
    blocked = block(flow, now_ms=now_ms)
    if blocked is not None and blocked.because is Because.BREAKER and breaker.probe_is_due(flow.breaker, now_ms=now_ms):
        return ProbeIsDue()
    if blocked is not None:
        return blocked
    limit = flow.rate(bounds)
    return Unlimited() if limit is None else AtRate(limit)


def block(flow: Flow, *, now_ms: int) -> Wait | None:
    """What forbids every call now, if anything does."""
    if flow.cool_until_ms > now_ms:
        return Wait(flow.cool_until_ms, Because.COOL_DOWN)
    if flow.breaker.is_open:
        return Wait(breaker.next_try_ms(flow.breaker, now_ms=now_ms), Because.BREAKER)
    return None


def added(flow: Flow, counts: Mapping[str, int]) -> Flow:
    """With more in its counts, as the table adds it."""
    return replace(flow, counts={**flow.counts, **{name: flow.counts.get(name, 0) + n for name, n in counts.items()}})


def fold(flow: Flow, bounds: Bounds, *, now_ms: int, also_alive_ms: int = 0) -> Flow:
    """Take into the value what was counted since it was written; leave a sign of life. `also_alive_ms`: when the table
    was in reach, by what another item says.
    """
    if flow.cap.is_over(now_ms):
        flow = uncapped(flow, now_ms=now_ms)
    told, bounds = flow.counts, within(bounds, flow.cap)
    delivered, faults, pushed = told.get(DELIVERED, 0), told.get(FAULTS, 0), told.get(flow.pushed, 0)
    # Counts know no order: two seconds' good calls must not outweigh an outage.
    good = told.get(GOOD, 0) if faults else min(delivered + pushed, breaker.MEMORY_CALLS)
    # While the breaker is open only probes are made: they tell whether the partner is there, and nothing of its rate.
    speaks = not flow.breaker.is_open
    limit = adaptive.add(
        _begun(flow.limit, bounds, now_ms),
        delivered=delivered,
        pushed_back=pushed if speaks else 0,
        timeouts=told.get(TIMEOUTS, 0) if speaks else 0,
        now_ms=now_ms,
    )
    if limit.since_ms != flow.limit.since_ms and now_ms - flow.limit.since_ms < 2 * adaptive.STEP_MS:
        limit = replace(limit, since_ms=flow.limit.since_ms)  # they were counted since then
    limit = replace(limit, reached=limit.reached or _is_reached(flow, now_ms))
    stepped = adaptive.step(limit, bounds, now_ms=now_ms)
    lowered = stepped.per_second is not None and stepped.per_second < (limit.per_second or float("inf"))
    if not is_silent(flow, now_ms=now_ms, also_alive_ms=also_alive_ms):  # else the next lease has to see that it is
        flow = replace(flow, alive_ms=max(flow.alive_ms, now_ms))
    return replace(
        flow,
        limit=stepped,
        generation=flow.generation + (lowered and stepped.why == adaptive.PUSHED_BACK),
        breaker=breaker.count(flow.breaker, delivered=good, faults=faults, now_ms=now_ms),
        delivered_ms=now_ms if delivered else flow.delivered_ms,
        latency_ms=_smoothed(flow.latency_ms, told.get(TOOK_MS, 0), delivered + faults + pushed),
        counts=uncounted(flow).counts,
    )


def is_due(flow: Flow, bounds: Bounds, *, now_ms: int) -> bool:
    """Whether somebody has to take in what was counted: the limit would move, or a step of it is over; or the breaker
    would open.
    """
    after = fold(flow, bounds, now_ms=now_ms)
    if not has_news(flow):
        return flow.limit.per_second is not None and after.limit.per_second != flow.limit.per_second
    return after.breaker.is_open != flow.breaker.is_open or after.limit.since_ms != flow.limit.since_ms


def uncounted(flow: Flow) -> Flow:
    """Without what calls came to: what of each second was asked for stays."""
    return replace(flow, counts={name: n for name, n in flow.counts.items() if name[0] not in {"t", PUSHED}})


def has_news(flow: Flow) -> bool:
    """Whether something was counted since the value was written."""
    return any(name[0] in {"t", PUSHED} for name in flow.counts)


def probed(flow: Flow, bounds: Bounds, *, delivered: bool, said: str, now_ms: int) -> Flow:
    """After a probe: the breaker closes and the limit begins low, or the next probe is later."""
    flow = fold(flow, bounds, now_ms=now_ms)
    if not flow.breaker.is_open:
        return flow
    after = breaker.probed(flow.breaker, delivered=delivered, now_ms=now_ms, said=said)
    if after.is_open:
        return replace(flow, breaker=after)
    return closed(flow, bounds, after, now_ms=now_ms)


def closed(flow: Flow, bounds: Bounds, after: Breaker, *, now_ms: int) -> Flow:
    """With its breaker closed; after an outage the limit begins low."""
    if not flow.breaker.is_open:
        return replace(flow, breaker=after)
    limit = adaptive.restart(flow.limit, within(bounds, flow.cap), now_ms=now_ms)
    return replace(flow, breaker=after, limit=limit, latency_ms=0.0)  # how long calls timed out says nothing now


def uncapped(flow: Flow, *, now_ms: int) -> Flow:
    """Without what an operator set: the limit grows to what held before."""
    if flow.cap == NO_CAP:
        return flow
    return replace(flow, cap=NO_CAP, limit=limit_after(flow.limit, flow.cap, now_ms=now_ms))


def asked_long(flow: Flow, until_ms: int, *, now_ms: int) -> Flow:
    """After an answer that asks everybody to wait for long: from `until_ms` on one probe at a time finds out."""
    if flow.breaker.is_open or breaker.is_by_hand(flow.breaker, now_ms=now_ms):
        return flow
    return replace(flow, breaker=breaker.opened(now_ms=now_ms, probe_at_ms=until_ms))


def alive(flow: Flow, *, now_ms: int, also_alive_ms: int = 0) -> Flow:
    """Write that the table is in reach. If it was not for long, everybody keeps to its share for a while: some called
    at theirs. `also_alive_ms`: when it was in reach by what another item says.
    """
    if is_silent(flow, now_ms=now_ms, also_alive_ms=also_alive_ms):
        # A window belongs to shares or to everybody as a whole: a worker has its share of all of it at once.
        ends_ms = -(-(now_ms + RETURN_MS) // windows.WINDOW_MS) * windows.WINDOW_MS
        flow = replace(flow, share_until_ms=ends_ms)
    return flow if 0 <= now_ms - flow.alive_ms < ALIVE_EVERY_MS else replace(flow, alive_ms=now_ms)


def is_silent(flow: Flow, *, now_ms: int, also_alive_ms: int = 0) -> bool:
    """Whether nobody wrote for so long that some may call at their share."""
    alive_ms = max(flow.alive_ms, also_alive_ms)
    return bool(flow.alive_ms) and now_ms - alive_ms > SILENCE_MS and flow.share_until_ms <= now_ms


def reserve(flow: Flow, bounds: Bounds, *, count: int, per_call: int, now_ms: int) -> tuple[Flow, list[int]]:
    """Times to come back for messages that wait for an account's rate, one after the other at that rate, as many to a
    call as travel together.

    Fewer than `count` when the account has as many waiting as it may: the rest belongs into the parking queue.
    """
    calls = flow.rate(bounds)
    if calls is None:
        return flow, []
    limit = calls * per_call
    begin_ms = max(flow.booked_ms, flow.cool_until_ms, now_ms)
    in_line = (begin_ms - now_ms) * limit / 1_000 if flow.booked_ms > now_ms else 0
    room = int(min((now_ms + LONGEST_LINE_MS - begin_ms) * limit / 1_000, MOST_IN_LINE - in_line))
    taken = max(0, min(count, room))
    times_ms = [begin_ms + round((index + 1) * 1_000 / limit) for index in range(taken)]
    return (replace(flow, booked_ms=times_ms[-1]) if times_ms else flow), times_ms


def share_used(flow: Flow, bounds: Bounds, *, now_ms: int) -> float | None:
    """The share of the calls that the rate allowed in the last seconds which was taken; None where no rate is known."""
    limit = flow.rate(bounds)
    return None if not limit else windows.share_taken(flow.counts, limit=limit, now_ms=now_ms)


def obeyed_until_ms(flow: Flow, *, seen_ms: int) -> int:
    """Until when a worker that first saw a cool-down at `seen_ms` obeys it, by its own clock.

    A clock that is ahead of the writer's would end it early: so it is obeyed for as long as was asked for, counted from
    when it was seen, at most a quarter of that beyond its end.
    """
    asked_ms = flow.cool_until_ms - flow.cool_from_ms
    return max(flow.cool_until_ms, min(seen_ms + asked_ms, flow.cool_until_ms + min(windows.SKEW_MS, asked_ms // 4)))


def stops_mapping(flow: Flow, *, now_ms: int) -> bool:
    """Whether nobody will be called for so long that taking messages from the queue only fills its in-flight quota."""
    return bool(what_stops_mapping(flow, now_ms=now_ms))


def what_stops_mapping(flow: Flow, *, now_ms: int) -> str:
    """What it is, in words; empty where nothing does."""
    if flow.breaker.is_open and breaker.is_by_hand(flow.breaker, now_ms=now_ms):
        return "the breaker, which an operator opened"
    if flow.breaker.is_open:
        said = f", its last probe was answered with {flow.breaker.said}" if flow.breaker.said else ""
        return f"the open breaker{said}"
    return "a cool-down that the partner asked for" if flow.cool_until_ms - now_ms > LONG_COOL_DOWN_MS else ""


def cool_until_ms(retry_after_s: float, *, now_ms: int, longest_s: float = LONGEST_COOL_DOWN_S) -> int:
    """Until when a Retry-After is obeyed without asking again."""
    return now_ms + round(1_000 * min(retry_after_s, longest_s))


def end_cool_down(flow: Flow, *, now_ms: int) -> Flow:
    """What an operator does: no answer from before binds any more, and if the breaker is open a probe is due."""
    counts = {name: count for name, count in flow.counts.items() if name not in {COOL_UNTIL, COOL_FROM}}
    ended = replace(flow, cool_until_ms=0, cool_from_ms=0, cool_ends=flow.cool_ends + 1, booked_ms=0, counts=counts)
    return replace(ended, breaker=breaker.hasten(flow.breaker, now_ms=now_ms))


def is_healthy(flow: Flow, *, now_ms: int) -> bool:
    """Whether the partner took somebody's call lately."""
    return not flow.breaker.is_open and now_ms - flow.delivered_ms <= HEALTHY_MS


def _is_reached(flow: Flow, now_ms: int) -> bool:
    """Whether all calls of a second since the last step were asked for: somebody could have used more."""
    limit = flow.limit.per_second
    if limit is None:
        return False
    seconds = range(max(flow.limit.since_ms, now_ms - windows.SKEW_MS) // 1_000, now_ms // 1_000 + 2)
    return any(flow.counts.get(windows.name_of(one), 0) >= windows.quota(one, limit) > 0 for one in seconds)


def _begun(limit: Limit, bounds: Bounds, now_ms: int) -> Limit:
    """A declared limit, where none is written yet, or a higher one that was declared before; or the first window of one
    that is still to be found.
    """
    if bounds.highest is not None and limit.held is not None and limit.held > bounds.highest:
        limit = replace(limit, held=bounds.highest)
    declared = bounds.highest is not None and (limit.per_second is None or limit.per_second > bounds.highest)
    if declared or (limit.since_ms == 0 and (limit.delivered or limit.pushed_back or limit.timeouts)):
        began = adaptive.start(bounds, now_ms)
        return replace(limit, per_second=began.per_second, held=began.held, since_ms=now_ms)
    return limit


def _smoothed(latency_ms: float, took_ms: int, calls: int) -> float:
    if not calls or not took_ms:
        return latency_ms
    took = took_ms / calls
    return round(took if not latency_ms else latency_ms + 0.2 * (took - latency_ms), 1)


def _known(cls: type, item: Mapping[str, Any]) -> dict[str, Any]:
    """What of an item are fields of a class."""
    return {one.name: item[one.name] for one in fields(cls) if one.name in item}


def _brief(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not as at the start."""
    start = asdict(type(value)())
    told = {name: one for name, one in asdict(value).items() if one != start[name]}
    for name in ("limit", "breaker", "cap"):
        if name in told:
            told[name] = _brief(getattr(value, name))
    return told
