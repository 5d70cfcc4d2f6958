"""Sending a batch: which delivery goes when, over which of the few connections, with whose permission.

Deliveries stand in lanes, each lane in order. Lanes go side by side; where the partner takes bulk calls, an account's
lanes go in step, so that what stands at their heads can travel together. A call waits for three things: its account's
rate, a free connection (the account with the fewest is next), and the partner's rate, cool-down and breaker.
"""

import asyncio
import hashlib
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from partners import Delivery, Partner, Result
from shared.errors import raised_at
from worker_fn.accounts.auth_failures import Credential, Credentials
from worker_fn.accounts.outliers import Outliers
from worker_fn.clients.http import FROZEN, Answer
from worker_fn.clients.mapping import PAUSED_WAIT_S, Held
from worker_fn.clients.or_else import or_else
from worker_fn.dispatch import rate_headers
from worker_fn.dispatch.classify import Outcome, Verdict, classify
from worker_fn.dispatch.fair_semaphore import FairSemaphore
from worker_fn.dispatch.lanes import Dispatch, Lane, credential_of, together
from worker_fn.dispatch.retry import send_with_retries
from worker_fn.limits import agreement as flows
from worker_fn.limits.agreement import NOTHING, Because, Tally, Wait
from worker_fn.limits.limiter import Go, Limiter

SHORTEST_CALL_S = 0.5
"""A call that could not be given even this long is not begun."""


UNSENDABLE = (ValueError, TypeError, AttributeError)
"""What comes of a delivery that HTTP has no form for."""

Send = Callable[[Delivery, str, float], Awaitable[Answer]]
"""Make one call: the delivery, its idempotency key, and the seconds that it may take."""


@dataclass(slots=True)
class Dispatcher:
    """One batch's sending. Registry outlive it; slots and time are its own."""

    partner: Partner
    send: Send
    limiter: Limiter
    account_gates: Callable[[str | None, str | None], Limiter | None]
    """An account's limiter at a bulk endpoint, or for its other calls (None)."""
    max_in_flight: int
    attempts: int
    call_timeout_s: float
    remaining_s: Callable[[], float]
    now_ms: Callable[[], int]
    jitter: Callable[[float], float]
    in_order: bool = True
    """Whether lanes have several items, whose order must hold."""
    log: Callable[..., None] = lambda *_, **__: None
    outliers: Outliers = field(default_factory=Outliers)
    held: Held | None = None
    """Whether an operator paused the intake meanwhile."""
    credentials: Credentials = field(default_factory=Credentials)
    """What this batch's answers said of them: with those that are refused no further call is made."""
    _slots: FairSemaphore = field(init=False)
    _unsent: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    """Items by the bulk endpoint that takes them, and their kind there."""
    _begun: set[Limiter] = field(default_factory=set)
    """Registry that know of this batch."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._slots = FairSemaphore(self.max_in_flight)

    async def deliver(self, lanes: Sequence[Lane]) -> None:
        """Send everything that may be sent in the time there is; outcomes stand in the items. Once for each round."""
        pairs = dict.fromkeys((lane.account_id, item.delivery.merge) for lane in lanes for item in lane.items)
        limiters = list(dict.fromkeys([self.limiter, *filter(None, (self.account_gates(*pair) for pair in pairs))]))
        for limiter in limiters:
            if limiter not in self._begun:
                limiter.begin()
        self._begun.update(limiters)
        self._unsent = Counter(_counted_as(item) for lane in lanes for item in lane.items)
        bulk = any(name is not None for name, _ in self._unsent)
        crews: dict[object, list[Lane]] = {}
        for index, lane in enumerate(lanes):
            crews.setdefault(lane.account_id if bulk else index, []).append(lane)
        async with asyncio.TaskGroup() as tasks:
            for crew in crews.values():
                tasks.create_task(self._run(crew, bulk=bulk))
        await asyncio.gather(*(limiter.report(last=True) for limiter in limiters))

    async def _run(self, crew: list[Lane], *, bulk: bool) -> None:
        """Send the heads of some lanes, then what is behind them, until nothing is left or everything waits."""
        while heads := [lane.head(self.partner.limits.bulk) for lane in crew if lane.is_open]:
            calls = self._packed(heads) if bulk else heads
            account_id = crew[0].account_id
            if len(calls) == 1:
                await self._send(calls[0], account_id)
            else:
                async with asyncio.TaskGroup() as tasks:
                    for call in calls:
                        tasks.create_task(self._send(call, account_id))
            for lane in crew:
                lane.advance()

    def _packed(self, heads: list[list[Dispatch]]) -> list[list[Dispatch]]:
        """Put the heads of an account's lanes into as few calls as the bulk limits allow.

        What of a head does not fit into the call of its first item waits for the next round: its order must hold
        whatever becomes of the call.
        """
        calls: list[list[Dispatch]] = []
        room: dict[tuple[object, ...], tuple[list[Dispatch], int, Counter[str]]] = {}
        for head in heads:
            name = head[0].delivery.merge
            if name is None or head[0].alone:
                calls.append(head[:1])
                continue
            limits = self.partner.limits.bulk[name]
            alike = together(head[0].delivery)
            call, used, kinds = room.get(alike, ([], 0, Counter()))
            for index, item in enumerate(head):
                size, kind = len(item.delivery.body), item.delivery.merge_kind
                full = len(call) >= limits.items or used + size > limits.bytes or kinds[kind] >= limits.most_of(kind)
                if call and full and index > 0:
                    break
                if not call or full:
                    call, used, kinds = [], 0, Counter()
                    calls.append(call)
                call.append(item)
                used += size
                kinds[kind] += 1
            room[alike] = (call, used, kinds)
        return calls

    async def _send(self, items: list[Dispatch], account_id: str | None) -> None:
        """Send one call, with its short retries. A bulk call that is refused is halved until the culprit is alone.

        Where the answer tells its items apart, those that are to be sent again go with the next round.
        """
        outcome = await or_else(self._attempts(items, account_id), partial(self._failed, items))
        halved = outcome.items is None and outcome.verdict in {
            Verdict.REJECTED,
            Verdict.UNSENDABLE,
            Verdict.UNAUTHORIZED,
        }
        if halved and len(items) > 1:
            middle = len(items) // 2
            await self._send(items[:middle], account_id)
            if self.in_order and any(item.waits or item.outcome is None for item in items[:middle]):
                return  # the second half goes with the next round, but for what is behind an item that waits
            await self._send(items[middle:], account_id)
            return
        for item, judged in zip(items, outcome.items or [outcome] * len(items), strict=True):
            item.outcome = judged
        self._unsent.subtract(_counted_as(item) for item in items if item.outcome is not None)

    def _failed(self, items: Sequence[Dispatch], error: Exception) -> Outcome:
        """What our own code's failure over a call means for its items: they wait, as if the partner had failed on them,
        and are given up by their strikes or their age. The call may have arrived.
        """
        number = next(self._numbers)
        for item in items:
            item.calls.append(number)
        return Outcome(Verdict.RETRY, error=f"{type(error).__name__} in {raised_at(error)}")

    async def _attempts(self, items: list[Dispatch], account_id: str | None) -> Outcome:
        return await send_with_retries(
            partial(self._attempt, items, account_id),
            attempts=self.attempts,
            remaining_s=lambda: self.remaining_s() - SHORTEST_CALL_S,
            jitter=self.jitter,
            sleep=asyncio.sleep,
        )

    async def _attempt(self, items: list[Dispatch], account_id: str | None) -> Outcome:
        """One call, if it may be made: first the account's permission, then a connection, then the partner's."""
        if self.credentials.are_refused(credential_of(items[0], account_id)):
            return _not_now(Wait(self.now_ms(), Because.SUSPENDED))
        endpoint = items[0].delivery.merge
        account_limiter = self.account_gates(account_id, endpoint)
        while True:
            turn = Go() if account_limiter is None else await self._admitted(account_limiter, 1)
            if isinstance(turn, Wait):
                is_of_account = turn.because is not Because.TIME
                return replace(_not_now(turn), is_of_account=is_of_account, endpoint=endpoint)
            made = await self._in_turn(items, account_id, account_limiter, turn)
            if made is not None:
                return made

    async def _in_turn(
        self, items: list[Dispatch], account_id: str | None, account_limiter: Limiter | None, turn: Go
    ) -> Outcome | None:
        """Make the call with a connection and the partner's permission; None if the account's turn passed meanwhile."""
        credential = credential_of(items[0], account_id)
        async with self._slots.slot(account_id):
            if self.held is not None:
                await self.held.is_on()
            permit = self._ruled_out(credential) or await self._admitted(self.limiter, self._calls_left())
            if isinstance(permit, Wait):
                return _not_now(permit)
            ruled_out = self._ruled_out(credential)  # by what came while this one waited
            if ruled_out is not None and not (permit.probe and ruled_out.because is Because.SUSPENDED):
                self._give_back(permit)
                return _not_now(ruled_out)
            if account_limiter is not None and not account_limiter.is_current(turn) and not permit.probe:
                self.limiter.put_back(permit)
                return None
            if self.remaining_s() < SHORTEST_CALL_S:
                if permit.probe:
                    self.limiter.note(Tally(probe=False))
                return _not_now(Wait(self.now_ms() + 1_000, Because.TIME))
            try:
                return await self._call(items, account_id, account_limiter, probe=permit.probe)
            except Exception:
                if permit.probe:  # others wait for what it comes to
                    self.limiter.note(Tally(probe=False))
                raise

    def _ruled_out(self, credential: Credential | None) -> Wait | None:
        """Why no call may be made whatever the partner allows: credentials that are refused, or an operator's pause."""
        if self.credentials.are_refused(credential):
            return Wait(self.now_ms(), Because.SUSPENDED)
        if self.held is not None and self.held.was_on:
            return Wait(self.now_ms() + 1_000 * PAUSED_WAIT_S, Because.PAUSED)
        return None

    def _give_back(self, permit: Go) -> None:
        if permit.probe:
            self.limiter.note(Tally(probe=False))
        else:
            self.limiter.put_back(permit)

    def _calls_left(self) -> int:
        """Calls that this batch still has to make, if every bulk call is full."""
        bulk = self.partner.limits.bulk
        left: dict[str | None, Counter[str]] = {}
        for (name, kind), count in self._unsent.items():
            left.setdefault(name, Counter())[kind] += count
        return sum(kinds.total() if name is None else bulk[name].calls_for(kinds) for name, kinds in left.items())

    async def _admitted(self, limiter: Limiter, wanted: int) -> Go | Wait:
        left_ms = int(1_000 * (self.remaining_s() - SHORTEST_CALL_S))
        now_ms = self.now_ms()
        if left_ms <= 0:
            return Wait(now_ms + 1_000, Because.TIME)
        return await limiter.admit(until_ms=now_ms + left_ms, wanted=wanted, in_flight=self.max_in_flight)

    async def _call(
        self, items: list[Dispatch], account_id: str | None, account_limiter: Limiter | None, *, probe: bool
    ) -> Outcome:
        started_ms, time_s = self.now_ms(), min(self.call_timeout_s, self.remaining_s())
        try:
            delivery, key = self._merged(items)
            answer = await self.send(delivery, key, time_s)
        except UNSENDABLE as error:  # a header with a line break, a merge that raises: it never left
            if probe:
                self.limiter.note(Tally(probe=False))
            return Outcome(Verdict.UNSENDABLE, error=type(error).__name__)
        except Exception as error:  # whatever else went wrong here says nothing against the delivery
            self.log("call failed on our side", exception_name=type(error).__name__)
            answer = Answer(fault="connection")
        outcome = self._read(items, answer, classify(answer, now_s=started_ms / 1_000))
        is_ours = answer.fault == FROZEN or (answer.fault == "timeout" and time_s < self.call_timeout_s)
        if is_ours:
            self.limiter.note(Tally(probe=False, said=f"{answer.fault} on our side") if probe else NOTHING)
        else:
            self._learn(outcome, answer, account_id, account_limiter, took_ms=self.now_ms() - started_ms, probe=probe)
        number = next(self._numbers)
        for item, judged in zip(items, outcome.items or [outcome] * len(items), strict=True):
            if judged is None:
                item.again += 1
            elif judged.is_about_the_call and not is_ours:
                item.calls.append(number)
        credential = credential_of(items[0], account_id)
        if credential is not None and outcome.verdict is Verdict.UNAUTHORIZED:
            self.credentials.refused(credential, [item.key for item in items], now_ms=self.now_ms())
        elif credential is not None and outcome.verdict is Verdict.DELIVERED:
            self.credentials.accepted(credential, begun_ms=started_ms)
        await self.limiter.report()
        if account_limiter is not None:
            await account_limiter.report()
        return outcome

    def _merged(self, items: list[Dispatch]) -> tuple[Delivery, str]:
        if len(items) == 1:
            return items[0].delivery, items[0].key
        keys = [item.key for item in items]
        try:
            merged = self.partner.merge([item.delivery for item in items], keys)
        except Exception as error:  # a partner's code may raise anything
            raise ValueError(type(error).__name__) from None
        return merged, hashlib.sha256("\n".join(keys).encode()).hexdigest()[:32]

    def _read(self, items: list[Dispatch], answer: Answer, outcome: Outcome) -> Outcome:
        """What an answer means, item by item where its body says so and the partner can read it."""
        arrived = outcome.verdict is Verdict.DELIVERED
        if not answer.is_whole:  # half of what it says of its items is no ground to judge them
            self.log("an answer could not be read to its end: its status decides", status=outcome.status)
        says_nothing = not answer.is_whole or not (arrived or answer.body)
        if answer.status is None or says_nothing or outcome.verdict is Verdict.UNAUTHORIZED:
            return outcome
        try:
            said = self.partner.read_response([item.delivery for item in items], answer.status, answer.body)
            if said is None:
                return outcome
            results = [Result(result) for result in said]
            problem = _contradiction(results, outcome, len(items))
        except Exception as error:  # a partner's code may raise anything, and give anything back
            results, problem = [], f"{type(error).__name__} in read_response"
        if problem and arrived:
            return Outcome(Verdict.UNREADABLE, outcome.status, problem)
        if problem:  # a proxy's error page, say: nothing arrived, and the status says enough
            self.log("an answer could not be told apart", status=outcome.status, error=problem)
            return outcome
        if Result.UNAUTHORIZED in results:
            refused = Outcome(Verdict.UNAUTHORIZED, outcome.status, f"unauthorized inside HTTP {outcome.status}")
            return replace(refused, items=(refused,) * len(items))  # whoever is alone would be refused as well
        all_again = set(results) == {Result.AGAIN}  # without whom, then?
        return replace(
            outcome,
            items=tuple(
                None
                if result is Result.AGAIN and not all_again and item.again < self.attempts
                else _judged(result, outcome)
                for item, result in zip(items, results, strict=True)
            ),
        )

    def _learn(
        self,
        outcome: Outcome,
        answer: Answer,
        account_id: str | None,
        account_limiter: Limiter | None,
        *,
        took_ms: int,
        probe: bool,
    ) -> None:
        """Note what an answer says of the partner as a whole, and of the account where its limits are by account."""
        if answer.fault == FROZEN:  # nobody listened, so nothing was said
            if probe:
                self.limiter.note(Tally(probe=False))
            return
        asked_s = outcome.retry_after_s
        asks_long = asked_s is not None and asked_s > flows.LONGEST_FOR_ALL_S
        if asked_s is None and answer.retry_after is not None and outcome.verdict is Verdict.RETRY:
            self.log("Retry-After ignored: not to be read, or over a week", status=outcome.status)
        spent_s = self._spent_s(answer)
        throttled = outcome.status == 429
        pushed_back = throttled and outcome.items is None  # else it is some items that were, and not the rate
        fault = outcome.verdict is Verdict.RETRY and not throttled
        for_all = asks_long and account_limiter is None
        own = (fault or for_all) and self.outliers.failed(account_id, now_ms=self.now_ms())
        if not throttled and not fault:
            self.outliers.delivered(account_id, now_ms=self.now_ms())
        tally = Tally(
            delivered=int(not pushed_back and not fault),
            refused=int(pushed_back),
            faults=int(fault and not own),
            timeouts=int(answer.fault == "timeout" and not own),
            took_ms=took_ms,
        )
        if account_limiter is not None:  # the partner's limits are by account: so is what it asks to wait for
            until_ms = self._until_ms(asked_s, spent_s, longest_s=flows.LONGEST_COOL_DOWN_S)
            account_limiter.note(replace(tally if throttled else Tally(delivered=1), cool_until_ms=until_ms))
            if throttled:
                tally = Tally(delivered=1, took_ms=took_ms)
        elif not (for_all and own):
            until_ms = self._until_ms(asked_s, spent_s, longest_s=flows.LONGEST_FOR_ALL_S)
            tally = replace(tally, cool_until_ms=until_ms, asks_long=for_all)
        if probe:
            tally += Tally(probe=not tally.faults and not tally.refused, said=outcome.error or f"HTTP {outcome.status}")
        self.limiter.note(tally)

    def _spent_s(self, answer: Answer) -> float | None:
        """For how long nothing is left of the limit, if the answer's headers say so."""
        declared = self.partner.limits.rate_headers
        if declared is None:
            return None
        return rate_headers.cool_down_s(answer.headers, declared, now_s=self.now_ms() / 1_000)

    def _until_ms(self, *waits_s: float | None, longest_s: float) -> int:
        """When the longest of some waits ends; 0 without any."""
        asked = [wait_s for wait_s in waits_s if wait_s is not None]
        return flows.cool_until_ms(max(asked), now_ms=self.now_ms(), longest_s=longest_s) if asked else 0


def _counted_as(item: Dispatch) -> tuple[str | None, str]:
    return item.delivery.merge, item.delivery.merge_kind


def _not_now(wait: Wait) -> Outcome:
    return Outcome(Verdict.RETRY, error=str(wait.because), wait_until_ms=wait.until_ms, because=wait.because)


def _contradiction(results: Sequence[Result], outcome: Outcome, count: int) -> str | None:
    """What is wrong with what a partner read out of an answer."""
    if len(results) != count:
        return "read_response gave another number of results"
    if outcome.verdict is Verdict.RETRY and not set(results) <= {Result.RETRY, Result.AGAIN}:
        return f"read_response finds more than RETRY and AGAIN in HTTP {outcome.status}"
    return None


def _judged(result: Result, outcome: Outcome) -> Outcome:
    if result is Result.DELIVERED:
        return Outcome(Verdict.DELIVERED, outcome.status)
    verdict = Verdict.REJECTED if result is Result.REJECTED else Verdict.RETRY
    error = f"{result.value} inside HTTP {outcome.status}"
    return Outcome(verdict, outcome.status, error, outcome.retry_after_s, is_of_item=True)
