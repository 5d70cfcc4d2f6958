"""Permission to call: how the calls of one batch wait for their turn.

A `Session` is one batch's use of a limiter. It hands out leased calls one by one at their moments, reads the shared
item at least once a second meanwhile, holds the batch while nobody may be called, and has the results of calls
reported.
"""

import asyncio
from contextlib import suppress

from shared.errors import StateUnavailable
from worker_fn.limits.flow import Tally
from worker_fn.limits.known_item import AGAIN_MS, FRESH_MS
from worker_fn.limits.lease import Start
from worker_fn.limits.limiter import Limiter
from worker_fn.limits.ruling import Because, Go, Wait
from worker_fn.limits.windows import WINDOW_MS

PATIENCE_MS = 5_000
"""A cool-down of up to this time is waited out inside the invocation, which holds back the intake; a longer one on the
queue.
"""
HOLD_MS = 15_000
"""How long a batch is held when nobody may be called, so that its Lambda does not fetch the next one before the intake
has stopped: that takes tens of seconds, and every batch that is given back at once makes room for another."""
LOOK_AHEAD_MS = 200
"""How long before a call's moment a due look at the item is taken, so that the call is not late for it."""
GUESSED_LATENCY_MS = 300.0
"""The assumed time of a call, until it is known."""


class Session:
    """`table` is the session of the limiter whose item the tick keeps alive, the partner's; None: this one."""

    def __init__(self, limiter: Limiter, *, table: "Session | None" = None) -> None:
        self._limiter = limiter
        self._table = table
        self._now_ms = limiter.item.now_ms
        self._leasing, self._looking, self._telling = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._near = 0
        """Calls that wait for their moment."""
        self._probing = False
        self._probe_ended = asyncio.Event()
        self._held_until_ms = 0
        """Until when the batch is held, only once even if many of its calls wait."""

    async def acquire(self, *, until_ms: int, wanted: int, in_flight: int) -> Go | Wait:
        """Wait until a call may start, and permit it; return a Wait if not before `until_ms`, or too far off."""
        if self._is_free(until_ms):
            return Go()
        if self._limiter.patience_ms is not None:
            until_ms = min(until_ms, self._now_ms() + self._limiter.patience_ms)
        while True:
            async with self._leasing:
                permit = await self._next(until_ms, wanted, in_flight)
            now_ms = self._now_ms()
            if now_ms >= until_ms:
                return permit if isinstance(permit, Wait) else self._too_late(permit, now_ms)
            match permit:
                case Go():
                    return permit
                case Start() as start:
                    if await self._is_come(start):
                        return Go(window=start.window)
                case Wait(because=Because.BREAKER) if self._probing:
                    await self._probe_ended.wait()  # the probe is ours: its answer decides for the batch, too
                case Wait(until_ms=wait_until_ms) if self._limiter.what_stops_mapping():
                    self._held_until_ms = self._held_until_ms or now_ms + HOLD_MS
                    end_ms = min(self._held_until_ms, until_ms)
                    if now_ms >= end_ms:
                        return permit
                    await self._sleep_until(min(end_ms, max(wait_until_ms, now_ms + AGAIN_MS), now_ms + 2 * FRESH_MS))
                    await self.look(self._now_ms())
                case Wait(until_ms=wait_until_ms, because=because):
                    patient_until_ms = until_ms if because is Because.RATE else min(until_ms, now_ms + PATIENCE_MS)
                    if wait_until_ms >= patient_until_ms:
                        return permit
                    await self._sleep_until(wait_until_ms)

    async def _next(self, until_ms: int, wanted: int, in_flight: int) -> Go | Wait | Start:
        """The next possibility: a call now, a call at a leased moment, or a wait."""
        limiter, now_ms = self._limiter, self._now_ms()
        blocked = limiter.blocked()
        if blocked is not None and blocked.because is Because.COOL_DOWN:
            await self.look(now_ms)  # an operator may have ended it
            blocked = limiter.blocked()
            if blocked is not None and blocked.because is Because.COOL_DOWN:
                return blocked
        if blocked is None and (start := limiter.take()):
            return start
        if self._table is not None:
            await self._table.look(now_ms)
        # Leased numbers that are not used are lost to other workers: a call that waits for its moment needs no other.
        wanted = max(1, wanted - self._near)
        usable = max(1, round(in_flight * WINDOW_MS / max(limiter.flow.latency_ms or GUESSED_LATENCY_MS, 1.0)))
        permit = await limiter.ask(until_ms=until_ms, wanted=wanted, most_a_window=usable)
        if isinstance(permit, Go) and permit.probe:
            self._probing = True
            self._probe_ended.clear()
        return permit

    async def _is_come(self, start: Start) -> bool:
        """Wait for a moment; False if it may not be used any more."""
        self._near += 1
        try:
            await self._sleep_until(start.ms - LOOK_AHEAD_MS)
            await self.look(start.ms)
            await self._sleep_until(start.ms)
            await self.look(self._now_ms())
        finally:
            self._near -= 1
        # After its window a number is worth nothing: the next window has its own.
        in_time = self._now_ms() // WINDOW_MS == start.window
        return in_time and self._limiter.blocked() is None and self._limiter.holds(start)

    def _is_free(self, until_ms: int) -> bool:
        """Whether fresh knowledge says that the partner has no rate and nothing forbids a call."""
        item, now_ms = self._limiter.item, self._now_ms()
        knows = item.silent_until_ms <= now_ms < until_ms and item.is_fresh(now_ms) and not item.lost_ms
        return knows and item.limit is None and self._table is None and self._limiter.blocked() is None

    def is_current(self, go: Go) -> bool:
        """Whether the window of a permission has not ended."""
        return go.window is None or go.window == self._now_ms() // WINDOW_MS

    def put_back(self, go: Go) -> None:
        """Let another call start in place of the permitted one."""
        if go.window is not None and self.is_current(go):
            self._limiter.put_back()

    def _too_late(self, permit: Go | Start, now_ms: int) -> Wait:
        """The Wait for a permission that came after its time, and is not used."""
        if isinstance(permit, Go) and permit.probe:
            self.note(Tally(probe=False))
        return Wait(now_ms + WINDOW_MS, Because.RATE if self._limiter.patience_ms is not None else Because.TIME)

    def note(self, tally: Tally) -> None:
        """Remember a call's result; this worker's next call knows it at once, the fleet with the next report."""
        self._limiter.note(tally)
        if tally.probe is not None:
            self._probing = False
            self._probe_ended.set()

    async def report(self, *, last: bool = False) -> None:
        """Report the results that are due. `last`: the batch is done."""
        reports = self._limiter.reports
        if self._telling.locked() and not last and not reports.for_all:
            return  # one report at a time: results that come meanwhile go with the next one
        async with self._telling:
            if reports.is_due(last=last):
                with suppress(StateUnavailable):
                    await reports.tell()

    async def look(self, by_ms: int) -> None:
        """Have the item no older than FRESH_MS at `by_ms`, if the table answers. One look at a time."""
        async with self._looking:
            await self._limiter.item.look(by_ms=by_ms)

    async def _sleep_until(self, moment_ms: int) -> None:
        while (left_ms := moment_ms - self._now_ms()) > 0:
            await asyncio.sleep(left_ms / 1_000)
