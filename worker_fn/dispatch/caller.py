"""One call to the partner, made as soon as it is allowed, and what its answer means for its items.

A call waits for three things, in this order: its account's rate, a free connection (the account with the fewest is
next), and the partner's rate, cool-down and breaker.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from partners import Partner
from shared.errors import raised_at
from worker_fn.accounts.auth_failures import AuthFailures, Credential
from worker_fn.clients.http import FROZEN, UNSENDABLE, Answer, Send
from worker_fn.clients.mapping import PAUSED_WAIT_S, Held
from worker_fn.dispatch.classify import Outcome, Verdict, classify
from worker_fn.dispatch.fair_semaphore import FairSemaphore
from worker_fn.dispatch.feedback import Feedback
from worker_fn.dispatch.item_results import item_results
from worker_fn.dispatch.lanes import Dispatch, credential_of
from worker_fn.dispatch.packing import CallsLeft, merged
from worker_fn.limits.registry import Sessions
from worker_fn.limits.ruling import Because, Go, Wait
from worker_fn.limits.session import Session

SHORTEST_CALL_S = 0.5
"""A call that would have less time than this is not begun."""
Tell = Callable[[Sequence[Dispatch], Outcome, int, str], None]
"""Logs a call that was made: its items, its outcome, how long it took (ms), and its Idempotency-Key."""


@dataclass(slots=True)
class Caller:
    """Makes the calls of one batch. The limiters' knowledge outlives it; sessions, connections, time and numbers are
    the batch's own.
    """

    partner: Partner
    send: Send
    limiters: Sessions
    feedback: Feedback
    held: Held
    """Whether an operator's pause is in force by now."""
    auth_failures: AuthFailures
    """What this batch's answers said about credentials: no further call is made with refused ones."""
    max_in_flight: int
    attempts: int
    """Tries of one call within this invocation, the first included; and how often an item may be sent again because of
    another item of its call.
    """
    call_timeout_s: float
    remaining_s: Callable[[], float]
    now_ms: Callable[[], int]
    log: Callable[..., None]
    tell: Tell
    calls_left: CallsLeft
    connections: FairSemaphore
    call_ms: list[int] = field(default_factory=list)
    """How long each call took."""
    _under_way: int = 0
    """Calls that are made and not answered yet."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def left_s(self) -> float:
        """Seconds in which a call may still begin."""
        return self.remaining_s() - SHORTEST_CALL_S

    async def call(self, items: Sequence[Dispatch], account_id: str | None) -> Outcome:
        """Make one call of some items, if it may be made; otherwise the outcome says until when to wait."""
        credential, endpoint = credential_of(items[0], account_id), items[0].delivery.merge
        if self.auth_failures.is_refused(credential):
            return _not_now(Wait(self.now_ms(), Because.SUSPENDED))
        account = self.limiters.of(account_id, endpoint)
        while True:
            turn: Go | Wait = Go()
            if account is not None:
                turn = await self._acquire(account, self.calls_left.count_of(account_id, endpoint))
            if isinstance(turn, Wait):
                return replace(_not_now(turn), is_of_account=turn.because is not Because.TIME, endpoint=endpoint)
            async with self.connections.held(account_id):
                permit = await self._permit(credential)
                if isinstance(permit, Wait):
                    return _not_now(permit)
                if account is None or account.is_current(turn) or permit.probe:
                    try:
                        return await self._make(items, credential, account, probe=permit.probe)
                    except Exception:
                        if permit.probe:
                            self.feedback.end_probe()
                        raise
                self._give_back(permit)  # the account's turn passed meanwhile

    def failed(self, items: Sequence[Dispatch], error: Exception) -> Outcome:
        """The outcome of a call during which our own code failed: its items wait, as if the partner had failed on them,
        until their failed attempts or their age end them. The call may have arrived.
        """
        outcome = Outcome(Verdict.RETRY, error=f"{type(error).__name__} in {raised_at(error)}")
        self._note_attempt(items, outcome, is_ours=False)
        return outcome

    async def _permit(self, credential: Credential | None) -> Go | Wait:
        """The partner's permission, for a call that has a connection."""
        await self.held.is_on()
        wanted = self.calls_left.count() - self._under_way
        permit = self._ruled_out(credential) or await self._acquire(self.limiters.partner, wanted)
        if isinstance(permit, Wait):
            return permit
        wait = self._ruled_out(credential)  # because of answers that came while this call waited
        if wait is not None and permit.probe and wait.because is Because.SUSPENDED:
            wait = None
        if wait is None and self.left_s() < 0:
            wait = Wait(self.now_ms() + 1_000, Because.TIME)
        if wait is not None:
            self._give_back(permit)
        return wait or permit

    async def _acquire(self, limiter: Session, wanted: int) -> Go | Wait:
        left_ms, now_ms = int(1_000 * self.left_s()), self.now_ms()
        if left_ms <= 0:
            return Wait(now_ms + 1_000, Because.TIME)
        return await limiter.acquire(until_ms=now_ms + left_ms, wanted=wanted, in_flight=self.max_in_flight)

    def _ruled_out(self, credential: Credential | None) -> Wait | None:
        """Why no call may be made, even if the partner allows one: refused credentials, or an operator's pause."""
        if self.auth_failures.is_refused(credential):
            return Wait(self.now_ms(), Because.SUSPENDED)
        if self.held.was_on:
            return Wait(self.now_ms() + 1_000 * PAUSED_WAIT_S, Because.PAUSED)
        return None

    def _give_back(self, permit: Go) -> None:
        if permit.probe:
            self.feedback.end_probe()
        else:
            self.limiters.partner.put_back(permit)

    async def _make(
        self, items: Sequence[Dispatch], credential: Credential | None, account: Session | None, *, probe: bool
    ) -> Outcome:
        """Make the call, and report what its answer means for the limiters and the credentials."""
        started_ms, time_s = self.now_ms(), min(self.call_timeout_s, self.remaining_s())
        self._under_way += 1
        try:
            delivery, key = merged(self.partner, items)
            answer = await self.send(delivery, key, time_s)
        except UNSENDABLE as error:  # a header with a line break, a merge that raises: the call never left
            if probe:
                self.feedback.end_probe()
            return Outcome(Verdict.UNSENDABLE, error=type(error).__name__)
        except Exception as error:  # whatever else went wrong here says nothing against the delivery
            self.log("call failed on our side", exception_name=type(error).__name__)
            answer = Answer(fault="connection")
        finally:
            self._under_way -= 1
        outcome = classify(answer, now_s=started_ms / 1_000)
        outcome = item_results(self.partner, items, answer, outcome, attempts=self.attempts, log=self.log)
        is_ours = answer.fault == FROZEN or (answer.fault == "timeout" and time_s < self.call_timeout_s)
        now_ms = self.now_ms()
        took_ms = now_ms - started_ms
        if not is_ours:
            self.call_ms.append(took_ms)
            account_id = credential and credential.account_id
            self.feedback.note(outcome, answer, account_id, account, took_ms=took_ms, probe=probe)
        elif probe:
            self.feedback.end_probe(said=f"{answer.fault} on our side")
        self._note_attempt(items, outcome, is_ours=is_ours)
        self.tell(items, outcome, took_ms, key)
        if credential is not None and outcome.verdict is Verdict.UNAUTHORIZED:
            self.auth_failures.note_refused(credential, [item.key for item in items], now_ms=now_ms)
        elif credential is not None and outcome.verdict is Verdict.DELIVERED:
            self.auth_failures.note_taken(credential, begun_ms=started_ms)
        await self.limiters.partner.report()
        if account is not None:
            await account.report()
        return outcome

    def _note_attempt(self, items: Sequence[Dispatch], outcome: Outcome, *, is_ours: bool) -> None:
        """Note the call's number in the items that it was an attempt for."""
        number = next(self._numbers)
        for item, judged in zip(items, outcome.of_each(len(items)), strict=True):
            if judged is None:
                item.again.append(number)
            elif judged.is_about_the_call and not is_ours:
                item.calls.append(number)


def _not_now(wait: Wait) -> Outcome:
    return Outcome(Verdict.RETRY, error=str(wait.because), wait_until_ms=wait.until_ms, because=wait.because)
