"""What the fleet knows of a partner (or of one account at it), in one item: rate, limit, cool-down, breaker. Pure.

Every change is a function from a `Flow` to the next one; `shared/state.py` writes it on the condition that nobody
else wrote meanwhile, and runs the function again on what the other one wrote. So the rules hold under any
interleaving of workers.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self

from worker_fn.limits import adaptive, breaker, sharding
from worker_fn.limits import windows as rate
from worker_fn.limits.adaptive import Bounds, Limit
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.sharding import Sharding
from worker_fn.limits.windows import WHOLE, Book, Books, Share, Tokens

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
    books: Books = field(default_factory=dict)
    """What of each second has been given to somebody."""
    breaker: Breaker = field(default_factory=Breaker)
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
    sharding: Sharding = field(default_factory=Sharding)
    """How many books there are of the rate: with more than one they are beside this item."""

    def to_item(self) -> dict[str, Any]:
        """As JSON values; `from_item` reads them back."""
        return {
            **asdict(replace(self, books={})),
            "books": {str(window): book.to_item() for window, book in self.books.items()},
        }

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Self:
        """Read an item, of another version of ours too: what is unknown is left out, what is missing is as at the
        start.
        """
        read = _known(cls, item)
        read["limit"] = Limit(**_known(Limit, item.get("limit", {})))
        read["breaker"] = Breaker(**_known(Breaker, item.get("breaker", {})))
        read["sharding"] = Sharding(**_known(Sharding, item.get("sharding", {})))
        read["books"] = {int(window): Book.from_item(book) for window, book in item.get("books", {}).items()}
        return cls(**read)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a worker asks for: `wanted` calls that it can start until `until_ms`, at most so many a window."""

    now_ms: int
    until_ms: int
    wanted: int
    most_a_window: int
    share: Share = WHOLE
    """Of a worker that keeps books of its own."""
    probe_lease_ms: int = breaker.PROBE_LEASE_MS
    alive_ms: int = 0
    """When the table was in reach, by what another of its items says."""
    share_until_ms: int = 0
    """Until when everybody keeps to its share, by what another of its items says."""


@dataclass(frozen=True, slots=True)
class Unlimited:
    """No rate is known or declared, and nothing forbids: call freely."""


@dataclass(frozen=True, slots=True)
class Leased:
    """Calls that may start in their windows: at least one, leased under `limit` calls a second."""

    tokens: Tokens
    limit: float


@dataclass(frozen=True, slots=True)
class Probe:
    """The one call that an open breaker lets through."""


@dataclass(frozen=True, slots=True)
class Wait:
    """No call before `until_ms`, and why; ask again then."""

    until_ms: int
    because: Because


@dataclass(frozen=True, slots=True)
class AtShare:
    """Nothing is leased from here now: lease your share of `limit` from books of your own."""

    limit: float


@dataclass(frozen=True, slots=True)
class InBranches:
    """Nothing forbids, and the books are elsewhere: lease from a branch."""


Permit = Unlimited | Leased | Probe | Wait
"""All that a call can be told. That no rate is known is said in so many words: nothing else may be read as it."""
Elsewhere = AtShare | InBranches
"""No answer yet, but where it is to be had."""


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
    cool_until_ms: int = 0
    asks_long: bool = False
    """All were asked to wait for longer than one answer stops everybody: from then on one probe at a time."""
    probe: bool | None = None
    """Whether the probe that was ours arrived; None: there was none."""
    said: str = ""
    """What it was answered."""
    reached: bool = False
    """Somebody could have used more than there was."""
    lost: int = 0
    """Races for the item that were lost."""
    unused: Tokens = field(default_factory=dict)

    def __add__(self, other: "Tally") -> "Tally":
        unused = dict(self.unused)
        for window, numbers in other.unused.items():
            unused[window] = (*unused.get(window, ()), *numbers)
        return Tally(
            self.delivered + other.delivered,
            self.refused + other.refused,
            self.faults + other.faults,
            self.timeouts + other.timeouts,
            self.took_ms + other.took_ms,
            max(self.cool_until_ms, other.cool_until_ms),
            self.asks_long or other.asks_long,
            self.probe if other.probe is None else other.probe,
            self.said if other.probe is None else other.said,
            self.reached or other.reached,
            self.lost + other.lost,
            unused,
        )

    @property
    def of_all(self) -> "Tally":
        """What of it concerns the shared item, and at once."""
        return Tally(cool_until_ms=self.cool_until_ms, asks_long=self.asks_long, probe=self.probe, said=self.said)

    @property
    def is_urgent(self) -> bool:
        """Whether the fleet should know at once."""
        return bool(self.refused or self.faults or self.cool_until_ms or self.probe is not None or self.unused)


NOTHING = Tally()


def lease(flow: Flow, ask: Ask, bounds: Bounds) -> tuple[Flow, Permit | Elsewhere]:
    """Ask for calls. A cool-down and an open breaker come before the rate."""
    was_written = bool(flow.alive_ms) and ask.now_ms - flow.alive_ms <= SILENCE_MS
    if ask.share_until_ms > flow.share_until_ms and not was_written:  # else what was leased from here since is in use
        flow = replace(flow, share_until_ms=ask.share_until_ms)
    flow, told = _asked(flow, ask, bounds)
    if flow.limit.per_second is not None:
        flow = alive(flow, now_ms=ask.now_ms, also_ms=ask.alive_ms)
    if told is not None:
        return flow, told
    limit = flow.limit.per_second
    if limit is None:
        return flow, Unlimited()
    if flow.share_until_ms > ask.now_ms:
        return flow, AtShare(limit)
    if flow.sharding.at(ask.now_ms) > 1:
        return flow, InBranches()
    return _from_books(flow, ask, limit)


def lease_alone(flow: Flow, ask: Ask, bounds: Bounds) -> tuple[Flow, Permit]:
    """Ask for calls where nobody else leases: of books that are one worker's own, whatever is known of the others'."""
    flow, told = _asked(flow, ask, bounds)
    if told is not None:
        return flow, told
    limit = flow.limit.per_second
    return (flow, Unlimited()) if limit is None else _from_books(flow, ask, limit)


def _asked(flow: Flow, ask: Ask, bounds: Bounds) -> tuple[Flow, Probe | Wait | None]:
    """What comes before the rate: a probe that is due, or what forbids every call."""
    flow = _stepped(flow, bounds, ask.now_ms)
    blocked = block(flow, now_ms=ask.now_ms)
    is_open = blocked is not None and blocked.because is Because.BREAKER
    if is_open and breaker.probe_is_due(flow.breaker, now_ms=ask.now_ms):
        leased = breaker.lease_probe(flow.breaker, now_ms=ask.now_ms, lease_ms=ask.probe_lease_ms)
        return replace(flow, breaker=leased), Probe()
    return flow, blocked


def _from_books(flow: Flow, ask: Ask, limit: float) -> tuple[Flow, Leased | Wait]:
    """Lease from the item's own books."""
    books, tokens = rate.lease(
        flow.books,
        limit=limit,
        now_ms=ask.now_ms,
        until_ms=flow.sharding.until_ms(ask.until_ms, now_ms=ask.now_ms),
        wanted=ask.wanted,
        most_a_window=ask.most_a_window,
        share=ask.share,
    )
    full = any(
        rate.free(books, window, limit=limit, now_ms=ask.now_ms, share=ask.share) == 0 for window in list(tokens)[:2]
    )
    reached = flow.limit.reached or full or _falls_short(tokens, ask)
    flow = replace(flow, books=books, limit=replace(flow.limit, reached=reached))
    if tokens:
        return flow, Leased(tokens, limit)
    free_ms = rate.first_free_ms(books, limit=limit, now_ms=ask.now_ms, longest_ms=300_000, share=ask.share)
    return flow, Wait(max(free_ms, ask.now_ms + 1), Because.RATE)


def block(flow: Flow, *, now_ms: int) -> Wait | None:
    """What forbids every call now, if anything does."""
    if flow.cool_until_ms > now_ms:
        return Wait(flow.cool_until_ms, Because.COOL_DOWN)
    if flow.breaker.is_open:
        return Wait(breaker.next_try_ms(flow.breaker, now_ms=now_ms), Because.BREAKER)
    return None


def is_unlimited(flow: Flow, bounds: Bounds, *, now_ms: int) -> bool:
    """Whether there is nothing to agree on: no rate is known, none is declared, and nothing forbids."""
    return bounds.highest is None and flow.limit.per_second is None and block(flow, now_ms=now_ms) is None


def leases_from_branches(flow: Flow, *, now_ms: int) -> bool:
    """Whether the item itself has nothing to say to a lease: nothing forbids it, and its books are elsewhere."""
    return (
        flow.sharding.at(now_ms) > 1
        and block(flow, now_ms=now_ms) is None
        and flow.share_until_ms <= now_ms
        and not _is_silent(flow, now_ms)
        and flow.limit.per_second is not None
    )


def report(flow: Flow, tally: Tally, bounds: Bounds, *, now_ms: int) -> Flow:
    """Add what calls came to: counts, a cool-down (the longest wins), the probe's end, tokens that were not used."""
    if flow.alive_ms and not _is_silent(flow, now_ms):  # else the next lease has to see that it is
        flow = alive(flow, now_ms=now_ms)
    # While the breaker is open only probes are made: they tell whether the partner is there, and nothing of its rate.
    pushed_back, timeouts = (0, 0) if flow.breaker.is_open else (tally.refused, tally.timeouts)
    limit = adaptive.add(
        flow.limit, delivered=tally.delivered, pushed_back=pushed_back, timeouts=timeouts, now_ms=now_ms
    )
    after = breaker.count(flow.breaker, delivered=tally.delivered + tally.refused, faults=tally.faults, now_ms=now_ms)
    if tally.probe is not None and after.is_open:
        after = breaker.probed(after, delivered=tally.probe, now_ms=now_ms, said=tally.said)
        if not after.is_open:
            limit = adaptive.restart(limit, bounds, now_ms=now_ms)
    if tally.asks_long and not after.is_open:
        after = breaker.opened(now_ms=now_ms, probe_at_ms=tally.cool_until_ms)
    return _stepped(
        replace(
            flow,
            limit=replace(limit, reached=limit.reached or tally.reached),
            breaker=after,
            sharding=sharding.add(flow.sharding, tally.lost),
            books=rate.give_back(flow.books, tally.unused, now_ms=now_ms) if tally.unused else flow.books,
            cool_until_ms=max(flow.cool_until_ms, tally.cool_until_ms),
            cool_from_ms=now_ms if tally.cool_until_ms > flow.cool_until_ms else flow.cool_from_ms,
            delivered_ms=now_ms if tally.delivered else flow.delivered_ms,
            latency_ms=_smoothed(flow.latency_ms, tally),
        ),
        bounds,
        now_ms,
    )


def book(flow: Flow, bounds: Bounds, *, count: int, per_call: int, now_ms: int) -> tuple[Flow, list[int]]:
    """Times to come back for messages that wait for an account's rate, one after the other at that rate, as many to a
    call as travel together.

    Fewer than `count` when the account has as many waiting as it may: the rest belongs into the parking queue.
    """
    calls = flow.limit.per_second or bounds.highest
    if calls is None:
        return flow, []
    limit = calls * per_call
    begin_ms = max(flow.booked_ms, flow.cool_until_ms, now_ms)
    in_line = (begin_ms - now_ms) * limit / 1_000 if flow.booked_ms > now_ms else 0
    room = int(min((now_ms + LONGEST_LINE_MS - begin_ms) * limit / 1_000, MOST_IN_LINE - in_line))
    taken = max(0, min(count, room))
    times_ms = [begin_ms + round((index + 1) * 1_000 / limit) for index in range(taken)]
    return (replace(flow, booked_ms=times_ms[-1]) if times_ms else flow), times_ms


def obeyed_until_ms(flow: Flow, *, seen_ms: int) -> int:
    """Until when a worker that first saw a cool-down at `seen_ms` obeys it, by its own clock.

    A clock that is ahead of the writer's would end it early: so it is obeyed for as long as was asked for, counted from
    when it was seen, at most a quarter of that beyond its end.
    """
    asked_ms = flow.cool_until_ms - flow.cool_from_ms
    return max(flow.cool_until_ms, min(seen_ms + asked_ms, flow.cool_until_ms + min(rate.SKEW_MS, asked_ms // 4)))


def stops_intake(flow: Flow, *, now_ms: int) -> bool:
    """Whether nobody will be called for so long that taking messages from the queue only fills its in-flight quota."""
    return bool(what_stops_intake(flow, now_ms=now_ms))


def what_stops_intake(flow: Flow, *, now_ms: int) -> str:
    """What it is, in words; empty where nothing does."""
    if flow.breaker.is_open:
        said = f", its last probe was answered with {flow.breaker.said}" if flow.breaker.said else ""
        return f"the open breaker{said}"
    return "a cool-down that the partner asked for" if flow.cool_until_ms - now_ms > LONG_COOL_DOWN_MS else ""


def cool_until_ms(retry_after_s: float, *, now_ms: int, longest_s: float = LONGEST_COOL_DOWN_S) -> int:
    """Until when a Retry-After is obeyed without asking again."""
    return now_ms + round(1_000 * min(retry_after_s, longest_s))


def end_cool_down(flow: Flow, *, now_ms: int) -> Flow:
    """What an operator does: no answer from before binds any more, and if the breaker is open a probe is due."""
    ended = replace(flow, cool_until_ms=0, cool_from_ms=0, cool_ends=flow.cool_ends + 1, booked_ms=0)
    return replace(ended, breaker=breaker.hasten(flow.breaker, now_ms=now_ms))


def is_healthy(flow: Flow, *, now_ms: int) -> bool:
    """Whether the partner took somebody's call lately."""
    return not flow.breaker.is_open and now_ms - flow.delivered_ms <= HEALTHY_MS


def _falls_short(tokens: Tokens, ask: Ask) -> bool:
    """Whether the worker could have used more of the next two windows than it got."""
    first = ask.now_ms // rate.WINDOW_MS + 1  # the present one may be almost over
    usable = min(ask.wanted, 2 * ask.most_a_window)
    return sum(len(numbers) for window, numbers in tokens.items() if window <= first + 1) < usable


def alive(flow: Flow, *, now_ms: int, also_ms: int = 0) -> Flow:
    """Write that the table is in reach. If it was not for long, everybody keeps to its share for a while: some called
    at theirs. `also_ms`: when it was in reach by what another item says.
    """
    if flow.alive_ms and _is_silent(replace(flow, alive_ms=max(flow.alive_ms, also_ms)), now_ms):
        flow = replace(flow, share_until_ms=_share_until_ms(now_ms))
    return flow if 0 <= now_ms - flow.alive_ms < ALIVE_EVERY_MS else replace(flow, alive_ms=now_ms)


def _is_silent(flow: Flow, now_ms: int) -> bool:
    """Whether nobody wrote for so long that some may call at their share."""
    return bool(flow.alive_ms) and now_ms - flow.alive_ms > SILENCE_MS and flow.share_until_ms <= now_ms


def _share_until_ms(now_ms: int) -> int:
    """A window belongs to shares or to the common books as a whole: a worker has its share of all of it at once."""
    return -(-(now_ms + RETURN_MS) // rate.WINDOW_MS) * rate.WINDOW_MS


def _known(cls: type, item: Mapping[str, Any]) -> dict[str, Any]:
    """What of an item are fields of a class."""
    return {one.name: item[one.name] for one in fields(cls) if one.name in item}


def _smoothed(latency_ms: float, tally: Tally) -> float:
    calls = tally.delivered + tally.refused + tally.faults
    if not calls or not tally.took_ms:
        return latency_ms
    took_ms = tally.took_ms / calls
    return round(took_ms if not latency_ms else latency_ms + 0.2 * (took_ms - latency_ms), 1)


def _stepped(flow: Flow, bounds: Bounds, now_ms: int) -> Flow:
    limit = flow.limit
    declared = limit.per_second is None and bounds.highest is not None  # also when a report came before any lease
    if declared or (limit.since_ms == 0 and (limit.delivered or limit.pushed_back or limit.timeouts)):
        began = adaptive.start(bounds, now_ms)
        limit = replace(limit, per_second=began.per_second, held=began.held, since_ms=now_ms)
    return replace(
        flow,
        limit=adaptive.step(limit, bounds, now_ms=now_ms),
        sharding=sharding.step(flow.sharding, now_ms=now_ms, least=bounds.books, nothing_leased=not flow.books),
    )
