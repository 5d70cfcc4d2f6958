"""Permission to call: one worker's side of what the fleet agreed on with the partner.

A `Limiter` stands for one agreement (the partner's, or one account's at it). It leases calls for a whole batch at once,
hands them out one by one at their time, looks at the shared state at least once a second while it does, and reports
what the calls came to.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from shared.errors import StateUnavailable
from shared.state import Contended, State
from worker_fn.limits import agreement as flows
from worker_fn.limits.adaptive import Bounds, rises
from worker_fn.limits.agreement import (
    NOTHING,
    Ask,
    AtShare,
    Because,
    Elsewhere,
    Flow,
    InBranches,
    Leased,
    Permit,
    Probe,
    Tally,
    Unlimited,
    Wait,
)
from worker_fn.limits.branches import Branches
from worker_fn.limits.breaker import PROBE_LEASE_MS
from worker_fn.limits.fallback import Fallback
from worker_fn.limits.known_item import FRESH_MS, KnownItem
from worker_fn.limits.sharding import LEASE_AHEAD_MS
from worker_fn.limits.starts import Start, Starts
from worker_fn.limits.windows import WINDOW_MS, Tokens

PATIENCE_MS = 5_000
"""A cool-down of up to so long is waited out inside the invocation: that holds back the intake. Longer ones on the
queue.
"""

HOLD_MS = 15_000
"""How long a batch is held when nobody may be called: the intake takes tens of seconds to stop, and every batch that is
given back at once makes room for another."""

LOOK_AHEAD_MS = 200
"""A look that is due is taken so long before a call's moment, so that the call is not late for it."""

LOOK_EVERY_MS = 50
"""The least that a held batch waits before it looks again."""

URGENT_EVERY_MS = 250
"""Faults and push-backs travel so often at most: a fleet that fails must not fight over one item. Cool-downs and probes
travel at once."""

REPORT_EVERY_MS = 1_000
"""Good news travels this often, if there is any; bad news at once."""

RISE_MS = 500
"""How often a call that waits for its turn looks whether a limit that is on its way up has risen."""

GUESSED_LATENCY_MS = 300.0
"""How long a call takes, until somebody knows."""


@dataclass(frozen=True, slots=True)
class Go:
    """A call may start now; within `window`, where a rate is known. `probe`: what an open breaker lets through."""

    probe: bool = False
    window: int | None = None


class Limiter:
    """One agreement, as one Lambda environment keeps it between its invocations.

    `share` is the part of the limit that is ours when the state table is out of reach: one over MaximumConcurrency, so
    that all workers together stay within it. `patience_ms` bounds how long a call waits inside an invocation for its
    turn; None: as long as there is time. `table` is the limiter whose item the tick keeps alive: it says whether the
    table was in reach while this one was idle; None: this one.
    """

    def __init__(
        self,
        state: State,
        key: str,
        bounds: Bounds,
        *,
        share: float,
        now_ms: Callable[[], int],
        rng: random.Random,
        ttl_s: int | None = None,
        patience_ms: int | None = None,
        on_trouble: Callable[[], None] = lambda: None,
        probe_lease_ms: int = PROBE_LEASE_MS,
        table: "Limiter | None" = None,
    ) -> None:
        self._bounds = bounds
        self._now_ms = now_ms
        self._rng = rng
        self._patience_ms = patience_ms
        self._probe_lease_ms = probe_lease_ms
        self._table = table
        self._fleet = KnownItem(
            state,
            key,
            now_ms=now_ms,
            rng=rng,
            ttl_s=ttl_s,
            on_seen=self._on_seen,
            on_there=self._close_own_books,
            on_lost_race=self._lose_race,
            on_trouble=on_trouble,
        )
        self._branches = Branches(state, key, rng=rng, on_lost=self._lose_race)
        self._own = Fallback(bounds, share=share, rng=rng)
        self._starts = Starts()
        self._pending: Tally = NOTHING
        self._reported_ms = 0
        self._lock, self._reporting = asyncio.Lock(), asyncio.Lock()
        self._probing = False
        self._probe_ended = asyncio.Event()
        self._held_until_ms = 0

    @property
    def flow(self) -> Flow:
        """What the fleet agreed on, as far as it is known here."""
        return self._fleet.flow

    async def looked(self) -> Flow:
        """What the fleet agreed on, no older than FRESH_MS where the table answers."""
        await self._fleet.look(by_ms=self._now_ms())
        return self._fleet.flow

    @property
    def knows_now(self) -> bool:
        """Whether what it knows is of this batch, and the fleet's."""
        return self._fleet.is_of_now

    async def book(self, count: int, per_call: int = 1) -> list[int]:
        """Times (ms) to come back for messages that wait for this rate; fewer than asked for when the line is full."""
        now_ms = self._now_ms()
        try:
            return await self._fleet.change(
                lambda flow: flows.book(flow, self._bounds, count=count, per_call=per_call, now_ms=now_ms)
            )
        except StateUnavailable:
            return [now_ms + 1_000 * (index // per_call + 1) for index in range(count)]

    def _too_late(self, permit: "Go | Start", now_ms: int) -> Wait:
        """What was permitted came when its time was over: it is not used."""
        if isinstance(permit, Go) and permit.probe:
            self.note(Tally(probe=False))
        return Wait(now_ms + WINDOW_MS, Because.RATE if self._patience_ms is not None else Because.TIME)

    def begin(self) -> None:
        """Start a batch: forget what one that ended before its time left behind."""
        self._fleet.begin()
        self._lock, self._reporting = asyncio.Lock(), asyncio.Lock()
        self._probe_ended = asyncio.Event()
        self._probing = False
        self._held_until_ms = 0
        self._starts.drop(now_ms=self._now_ms())

    async def admit(self, *, until_ms: int, wanted: int, in_flight: int) -> Go | Wait:
        """Return when a call may start, or with the time to come back at, if that is not before `until_ms`."""
        if self._patience_ms is not None:
            until_ms = min(until_ms, self._now_ms() + self._patience_ms)
        while True:
            async with self._lock:
                permit = await self._next(until_ms, wanted, in_flight)
            now_ms = self._now_ms()
            if now_ms >= until_ms:
                return permit if isinstance(permit, Wait) else self._too_late(permit, now_ms)
            match permit:
                case Go():
                    return permit
                case Start(ms=start_ms) as start:
                    if not await self._near(start):
                        self._starts.put_back(start)
                        continue
                    await self._fleet.look(by_ms=start_ms)
                    await self._sleep_until(start_ms)
                    if await self._still_free() and self._now_ms() // WINDOW_MS == start_ms // WINDOW_MS:
                        # Later than its window a token is worth nothing: the next one has its own.
                        return Go(window=start_ms // WINDOW_MS)
                case Wait(because=Because.BREAKER) if self._probing:
                    await self._probe_ended.wait()  # the probe is ours: its answer decides for the batch, too
                case Wait(until_ms=wait_until_ms) if self._stops_intake(now_ms):
                    if not await self._hold(wait_until_ms, until_ms):
                        return permit
                case Wait(until_ms=wait_until_ms, because=because):
                    patient_until_ms = until_ms if because is Because.RATE else min(until_ms, now_ms + PATIENCE_MS)
                    if wait_until_ms >= patient_until_ms:
                        return permit
                    await self._sleep_until(min(wait_until_ms, now_ms + RISE_MS) if self._rises else wait_until_ms)

    def is_current(self, go: Go) -> bool:
        """Whether the window of a permission is not over yet."""
        return go.window is None or go.window == self._now_ms() // WINDOW_MS

    def put_back(self, go: Go) -> None:
        """Another call may start in place of the one that was permitted."""
        if go.window is not None and self.is_current(go):
            self._starts.put_back(Start(self._now_ms()))  # nobody else could use it

    def _stops_intake(self, now_ms: int) -> bool:
        """Whether the intake has to stop: the partner's limiter's business, while it knows what the fleet knows."""
        return self._patience_ms is None and not self._fleet.lost_ms and flows.stops_intake(self.flow, now_ms=now_ms)

    async def _hold(self, wait_until_ms: int, deadline_ms: int) -> bool:
        """Hold the batch for a while, so that its Lambda does not fetch the next one before the intake has stopped.

        False when it was held for long enough. One batch is held once, however many of its calls wait.
        """
        now_ms = self._now_ms()
        self._held_until_ms = self._held_until_ms or now_ms + HOLD_MS
        end_ms = min(self._held_until_ms, deadline_ms)
        if now_ms >= end_ms:
            return False
        await self._sleep_until(min(end_ms, max(wait_until_ms, now_ms + LOOK_EVERY_MS), now_ms + 2 * FRESH_MS))
        await self._still_free()
        return True

    def note(self, tally: Tally) -> None:
        """Remember what a call came to; our own next call knows it at once, the fleet with the next `report`."""
        self._pending += tally
        self._own.note(tally, now_ms=self._now_ms())
        if tally.probe is not None:
            self._probing = False
            self._probe_ended.set()
        if tally.cool_until_ms:
            self._fleet.cool_down(tally.cool_until_ms)

    async def report(self, *, last: bool = False) -> None:
        """Tell the fleet what it should know now. `last`: the batch is done, and what tokens are left go back."""
        if last:
            self._free(self._starts.drop(now_ms=self._now_ms()))
        if self._reporting.locked() and not last and not self._pending.cool_until_ms and self._pending.probe is None:
            return  # one report at a time: what comes meanwhile goes with the next one
        async with self._reporting:
            await self._report(last=last)

    async def _report(self, *, last: bool) -> None:
        tally, now_ms = self._pending, self._now_ms()
        since_ms = now_ms - self._reported_ms
        must = last or tally.cool_until_ms > 0 or tally.probe is not None
        due = since_ms >= (URGENT_EVERY_MS if tally.is_urgent else REPORT_EVERY_MS) or (must and tally.is_urgent)
        if tally == NOTHING or not due or now_ms < self._fleet.silent_until_ms:
            return
        self._pending = NOTHING
        self._reported_ms = now_ms
        try:
            if not tally.cool_until_ms and tally.probe is None and self.flow.sharding.at(now_ms) > 1:
                told, tally = tally, await self._branches.tell(self.flow, tally, now_ms=now_ms)
                if told.is_urgent and tally == NOTHING:  # what it comes to for the fleet may be known already
                    await self._fleet.look(by_ms=self._now_ms() + FRESH_MS)
            if tally != NOTHING:
                await self._fleet.change(lambda flow: (flows.report(flow, tally, self._bounds, now_ms=now_ms), None))
        except StateUnavailable:
            self._pending += replace(tally, unused={}, probe=None, said="")

    async def _next(self, until_ms: int, wanted: int, in_flight: int) -> Go | Wait | Start:
        """What is possible: a call now, a call at a time that is ours, or a wait."""
        now_ms = self._now_ms()
        blocked = self._blocked(now_ms)
        may_take = blocked is None and not self._is_outgrown(now_ms)
        if may_take and (start := self._starts.take(now_ms=now_ms, not_before_ms=self.flow.cool_until_ms)):
            return start
        if blocked is not None and blocked.because is Because.COOL_DOWN:
            await self._fleet.look(by_ms=now_ms)  # an operator may have ended it
            blocked = self._blocked(now_ms)
        if blocked is not None and blocked.because is Because.COOL_DOWN:
            return blocked
        ask = Ask(
            now_ms=now_ms,
            until_ms=min(until_ms, now_ms + LEASE_AHEAD_MS),
            wanted=max(1, wanted),
            # What is leased and can not be used is lost to the others.
            most_a_window=max(1, round(in_flight * WINDOW_MS / max(self.flow.latency_ms or GUESSED_LATENCY_MS, 1.0))),
            probe_lease_ms=self._probe_lease_ms,
        )
        if self._table is not None and not self._fleet.is_fresh(now_ms):
            table = await self._table.looked()
            ask = replace(ask, alive_ms=table.alive_ms, share_until_ms=table.share_until_ms)
        permit = await self._lease(ask)
        told = self._blocked(self._now_ms())
        if told is not None and told.because is Because.COOL_DOWN and not isinstance(permit, Probe):
            return told  # by an answer that came while we asked
        return self._granted(permit, now_ms)

    def _granted(self, permit: Permit, now_ms: int) -> Go | Wait | Start:
        """What a lease comes to for the call that asked; the rest of it is kept for those behind."""
        match permit:
            case Unlimited():
                return Go()
            case Probe():
                self._probing = True
                self._probe_ended.clear()
                return Go(probe=True)
            case Wait(because=Because.RATE) if self._is_outgrown(now_ms):  # there was no earlier one
                self._starts.count_as_leased_under(self.flow.limit.per_second or 0.0)
                return self._starts.take(now_ms=now_ms, not_before_ms=0) or permit
            case Wait():
                return permit
            case Leased(tokens=tokens, limit=limit):
                self._own.keep(self._starts, tokens, limit=limit)
                start = self._starts.take(now_ms=now_ms, not_before_ms=0)
                return Wait(now_ms + LOOK_EVERY_MS, Because.RATE) if start is None else start
            case _:
                assert_never(permit)

    def _is_outgrown(self, now_ms: int) -> bool:
        """Whether more may be had than what was leased, and sooner: of the common books alone."""
        return self._own.flow is None and self._starts.are_outgrown(self.flow.limit.per_second, now_ms=now_ms)

    async def _lease(self, ask: Ask) -> Permit:
        fresh = self._fleet.is_fresh(ask.now_ms)
        free = flows.is_unlimited(self.flow, self._bounds, now_ms=ask.now_ms)
        if fresh and free and not self._pending.is_urgent:
            return Unlimited()
        if ask.now_ms < self._fleet.silent_until_ms:
            return self._own.lease(ask, self._fleet)
        if self._own.flow is not None and not self._fleet.lost_ms and ask.now_ms >= self.flow.share_until_ms:
            self._close_own_books()
        if self._pending.probe is not None:
            await self.report()
        if fresh and not self._pending.cool_until_ms and flows.leases_from_branches(self.flow, now_ms=ask.now_ms):
            return await self._lease_from_branch(ask)
        return await self._lease_from_item(ask, fresh=fresh)

    async def _lease_from_item(self, ask: Ask, *, fresh: bool) -> Permit:
        """Lease where there is one book, or ask what the shared item has to say before a branch is asked."""
        tally = NOTHING
        if self.flow.sharding.at(ask.now_ms) == 1 or self._pending.cool_until_ms:
            tally, self._pending = self._pending, NOTHING

        def ask_again(flow: Flow) -> tuple[Flow, Permit | Elsewhere]:
            told = flow if tally == NOTHING else flows.report(flow, tally, self._bounds, now_ms=ask.now_ms)
            return flows.lease(told, ask, self._bounds)

        try:
            permit = await self._fleet.change(ask_again, fresh=fresh)
            if isinstance(permit, AtShare):
                return self._own.lease(ask, self._fleet, limit=permit.limit)
            if ask.now_ms >= self.flow.share_until_ms:
                self._close_own_books()
            return await self._lease_from_branch(ask) if isinstance(permit, InBranches) else permit
        except Contended:
            self._pending += replace(tally, unused={}, probe=None, said="")
            return self._soon()
        except StateUnavailable:
            self._pending += replace(tally, unused={}, probe=None, said="")
            return self._own.lease(ask, self._fleet)

    async def _lease_from_branch(self, ask: Ask) -> Permit:
        """Lease where there are several books; the shared item is told what is due."""
        tally, self._pending = self._pending, NOTHING
        if tally.cool_until_ms or tally.probe is not None:  # noted meanwhile: the shared item's, and at once
            self._pending = tally.of_all
            tally = replace(tally, cool_until_ms=0, asks_long=False, probe=None, said="")
        try:
            permit, due = await self._branches.lease(self.flow, tally, ask)
        except Contended:
            self._pending += replace(tally, unused={})
            return self._soon()
        except StateUnavailable as error:
            self._pending += replace(tally, unused={})
            self._fleet.lose(ask.now_ms, error)
            return self._own.lease(ask, self._fleet)
        if due != NOTHING:
            try:
                await self._fleet.change(lambda flow: (flows.report(flow, due, self._bounds, now_ms=ask.now_ms), None))
            except StateUnavailable:
                self._pending += due
        return permit

    def _soon(self) -> Wait:
        """Others were first too often: ask again in a moment."""
        soon_ms = self._now_ms() + self._rng.randint(LOOK_EVERY_MS, 10 * LOOK_EVERY_MS)
        return Wait(soon_ms, Because.RATE)

    def _lose_race(self) -> None:
        self._pending += Tally(lost=1)

    async def _still_free(self) -> bool:
        """Whether a call may start: what we know is no older than FRESH_MS and forbids nothing."""
        await self._fleet.look(by_ms=self._now_ms())
        return self._blocked(self._now_ms()) is None

    def _blocked(self, now_ms: int) -> Wait | None:
        """What forbids a call: a cool-down that we know of, and the breaker, our own while we are alone."""
        known = self.flow
        if self._fleet.lost_ms and self._own.flow is not None:
            known = replace(known, breaker=self._own.flow.breaker)
        return flows.block(known, now_ms=now_ms)

    def _on_seen(self, now_ms: int) -> None:
        """What was leased has to fit what is known now."""
        if self.flow.share_until_ms > now_ms and self._own.flow is None:
            self._free(self._starts.drop(now_ms=now_ms))
        self._free(self._starts.thin_out(self.flow.limit.per_second, now_ms=now_ms))

    def _close_own_books(self) -> None:
        """Others lease from the common ones: what is left of ours is not used."""
        if self._own.flow is not None:
            self._own.close()
            self._starts.drop(now_ms=self._now_ms())

    def _free(self, unused: Tokens) -> None:
        """Have the next report free tokens that are not used; those of our own books are nobody else's."""
        if unused and self._own.flow is None:
            self._pending += Tally(unused=unused)

    @property
    def _rises(self) -> bool:
        """Whether the limit is on its way up: what is leased now, or can be, is soon less than what there is."""
        return rises(self.flow.limit)

    async def _near(self, start: Start) -> bool:
        """Sleep until shortly before a moment; False when the limit rose meanwhile, and an earlier one may be had."""
        limit = self.flow.limit.per_second
        while self._rises and self._own.flow is None and start.ms - LOOK_AHEAD_MS - self._now_ms() > RISE_MS:
            await self._sleep_until(self._now_ms() + RISE_MS)
            await self._fleet.look(by_ms=self._now_ms())
            now = self.flow.limit.per_second
            if limit is not None and now is not None and now > limit:
                return False
        await self._sleep_until(start.ms - LOOK_AHEAD_MS)
        return True

    async def _sleep_until(self, moment_ms: int) -> None:
        while (left_ms := moment_ms - self._now_ms()) > 0:
            await asyncio.sleep(left_ms / 1_000)
