"""STAGE 3, the main path: decode -> map -> resume -> send -> decide -> settle.

Everything that waits or talks is handed in, so that the same code runs on Lambda and on a simulated clock. Sending
stops early enough to settle everything that was received.
"""

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from partners import Delivery, Partner
from shared.errors import InvalidRequest, StateUnavailable, UndecodableMessage, raised_at
from shared.firehose import parse_request
from shared.message import ERASURE, Message, decode
from shared.state import Conflict, State
from worker_fn import flow as flows
from worker_fn import progress as progresses
from worker_fn.classify import Outcome, Verdict
from worker_fn.courier import Courier, Lane, Send, Shipment, together
from worker_fn.credentials import Credentials
from worker_fn.ends import Budgets, DeadLetter, Delivered, End, Parked, Reason, Story, Waiting, Whose, end_of
from worker_fn.flow import Because
from worker_fn.gates import Gates
from worker_fn.intake import Intake, IntakeUnavailable
from worker_fn.progress import Progress
from worker_fn.receipts import Clerk
from worker_fn.retry import back_off_s
from worker_fn.settle import Queue, Report, Settled, settle
from worker_fn.suspensions import Place, Suspensions

T = TypeVar("T")

MOVED_MS = 5_000
"""A message that reached the queue so long after mParticle sent it may come from another queue: ingest needs a second,
parking and moving back at least the two that a call waits for its account's turn and a few for the sweep.
"""


FEW_ATTEMPTS = 4
"""A message that was not called waits as if it had been so often: half a minute, so that those before it have left."""

MARGIN_S = 1.0
"""What is kept for the function's own answer."""


async def no_need() -> None:
    """Our clock is the fleet's."""


async def nobody() -> Intake | None:
    """No mapping is known: nothing to pause."""
    return None


@dataclass(frozen=True, slots=True)
class Worker:
    """One Lambda environment: what it is set up with, and what it remembers between its invocations."""

    partner: Partner
    send: Send
    queue: Queue
    state: State
    gates: Gates
    suspensions: Suspensions
    max_in_flight: int
    attempts: int
    settle_reserve_s: float
    call_timeout_s: float
    budgets: Budgets = field(default_factory=Budgets)
    agree_on_time: Callable[[], Awaitable[None]] = no_need
    """Set our clock by the fleet's, once."""
    intake: Callable[[], Awaitable[Intake | None]] = nobody
    """The mapping that feeds us, once its id is known."""
    in_groups: bool = False
    """A FIFO queue: messages of a group stay in order, and a failure holds back those behind it."""
    clock: Callable[[], float] = time.time
    rng: random.Random = field(default_factory=random.Random)
    log: Callable[..., None] = lambda *_, **__: None

    def now_ms(self) -> int:
        return int(self.clock() * 1_000)


@dataclass(slots=True)
class Job:
    """A record that mapped, on its way."""

    record: Mapping[str, Any]
    message: Message
    items: list[Shipment]
    total: int
    lane: str | None = None
    """Other messages of the batch that name it go before or behind this one, never beside it."""
    progress: Progress = progresses.NONE
    place: Place = Place.SEND
    malformed: int = 0
    end: End | None = None
    """As it was decided; a receipt that could not be written may hold it back."""
    struck_out: bool = False
    """A delivery used up its strikes: those behind it begin with none."""
    is_denied_alone: bool = False
    """Its credentials were refused while others of its account were taken."""

    @property
    def was_seen_before(self) -> bool:
        """Whether somebody may have worked on it: received before, or sent again from the parking queue."""
        attributes = self.record["attributes"]
        sent_ms = int(attributes.get("SentTimestamp", self.message.received_at_ms))
        moved = sent_ms - self.message.received_at_ms > MOVED_MS
        return int(attributes["ApproximateReceiveCount"]) > 1 or moved


async def drain(records: list[dict[str, Any]], worker: Worker, remaining_s: Callable[[], float]) -> Report:
    """Work a batch of SQS records within `remaining_s` seconds; every record gets its end."""
    report = Report()
    prepared = [prepare(record, worker.partner) for record in records]
    jobs = [job for job in prepared if isinstance(job, Job)]
    settled = [job for job in prepared if isinstance(job, Settled)]
    await worker.agree_on_time()
    await place(jobs, worker)
    await resume([job for job in jobs if job.place is Place.SEND], worker)
    sending = [job for job in jobs if job.place is Place.SEND]
    courier = courier_for(worker, lambda: remaining_s() - worker.settle_reserve_s)
    await courier.deliver([lane for group in in_order(sending, worker) for lane in group])
    for job in jobs:
        if any(one.verdict is Verdict.DELIVERED for one in _outcomes(job)):
            worker.gates.note_delivered(job.message.account_id)
    await suspend_refused(jobs, courier.credentials, worker)
    settled += await asyncio.gather(*(conclude(job, worker) for job in jobs))
    settled = await in_time(book(settled, worker), remaining_s() - worker.settle_reserve_s / 2, settled)
    settled = await clerk_for(worker).write(settled, time_s=remaining_s() - worker.settle_reserve_s / 4)
    report.calls = sum(item.attempts for job in jobs for item in job.items)
    report.malformed = sum(job.malformed for job in jobs)
    report.state_trouble = worker.gates.take_trouble()
    await settle(settled, worker.queue, report, time_s=remaining_s() - MARGIN_S)
    after = asyncio.gather(remember_letters(jobs, report, worker), stop_intake(worker))
    await in_time(after, remaining_s() - MARGIN_S / 2, None)
    return report


async def in_time(work: Awaitable[T], seconds: float, otherwise: T) -> T:
    """What some work comes to, or `otherwise` when there is no time for it: it is not worth the batch's answer."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            return await work
    except TimeoutError:
        return otherwise


def prepare(record: dict[str, Any], partner: Partner) -> Job | Settled:
    """Decode and map one record; one that can not be is dead-lettered, its neighbours are not touched."""
    attributes = {"partner": partner.name, **_received(record)}
    try:
        message = decode(record["body"])
    except UndecodableMessage as error:
        return Settled(record, DeadLetter(Reason.UNDECODABLE, str(error)), attributes)
    attributes |= {"type": message.type, "account_id": message.account_id or ""}
    try:
        request = parse_request(message.payload)
        keyed = with_keys(message, partner.deliveries(request))
        items = [Shipment(delivery, key, alone=message.type == ERASURE) for delivery, key in keyed]
        lane = partner.lane_of(request)
        hash((lane, *(together(item.delivery) for item in items)))  # raises for what can be no key
        are_declared = all(item.delivery.merge in {None, *partner.limits.bulk} for item in items)
    except InvalidRequest as error:
        return Settled(record, DeadLetter(Reason.UNMAPPABLE, str(error)), attributes)
    except Exception as error:
        where = f"{type(error).__name__} in {raised_at(error)}"
        return Settled(record, DeadLetter(Reason.UNMAPPABLE, where), attributes)
    if not are_declared:
        names = ", ".join(sorted(partner.limits.bulk)) or "nothing"
        problem = f"a delivery's `merge` is not declared: `limits.bulk` of {partner.name} holds {names}"
        return Settled(record, DeadLetter(Reason.UNMAPPABLE, problem), attributes)
    return Job(record, message, items, len(items), lane, malformed=len(request.malformed))


def with_keys(message: Message, deliveries: Iterable[Delivery]) -> Iterable[tuple[Delivery, str]]:
    """Give each delivery its Idempotency-Key: the same for the same part of the same request, whoever sends it and
    when.
    """
    seen: Counter[tuple[str, str]] = Counter()
    for delivery in deliveries:
        endpoint = f"{delivery.method} {urlsplit(delivery.url).path}"
        seen[endpoint, delivery.item] += 1
        parts = (message.id, message.part, endpoint, delivery.item, str(seen[endpoint, delivery.item]))
        yield delivery, hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


async def resume(jobs: list[Job], worker: Worker) -> None:
    """Leave out what an earlier receive delivered. With the state table down everything is sent again, with the same
    keys.
    """

    async def read(job: Job) -> None:
        try:
            job.progress = await progresses.read(worker.state, job.message)
        except StateUnavailable:
            worker.gates.trouble()
            return
        job.items = [item for item in job.items if not job.progress.settles(item.key)]

    await asyncio.gather(*(read(job) for job in jobs if job.was_seen_before))


async def place(jobs: list[Job], worker: Worker) -> None:
    """Find the messages of suspended accounts: one is the account's probe, the others are parked."""
    await worker.suspensions.refresh()
    for job in jobs:
        job.place = await worker.suspensions.place(job.message.account_id, job.record["messageId"])


def in_order(jobs: list[Job], worker: Worker) -> Iterable[list[Lane]]:
    """Lanes: a message's deliveries one after the other, or each its own; a FIFO group's messages are one lane, and so
    are those for which the partner names one.
    """
    grouped: dict[tuple[str | None, str], Lane] = {}
    for job in jobs:
        account_id = job.message.account_id
        named = job.record["attributes"].get("MessageGroupId") if worker.in_groups else job.lane
        if named is not None and (worker.in_groups or worker.partner.in_order):
            lane = grouped.setdefault((account_id, named), Lane(account_id, []))
            lane.items += job.items
        elif worker.partner.in_order:
            yield [Lane(account_id, job.items)]
        else:
            yield [Lane(account_id, [item]) for item in job.items]
    yield list(grouped.values())


async def stop_intake(worker: Worker) -> None:
    """Pause the mapping when nobody may be called for long; if that fails, the next tick does it."""
    gate = worker.gates.partner
    if not gate.knows_now or not flows.stops_intake(gate.flow, now_ms=worker.now_ms()):
        return
    try:
        intake = await worker.intake()
        if intake is not None and (await intake.status()).is_enabled:
            await intake.pause()
    except IntakeUnavailable as error:
        worker.log("the intake could not be paused", error=str(error))


async def book(settled: list[Settled], worker: Worker) -> list[Settled]:
    """Give messages that wait for their account's rate a time to come back, one after the other; park what is too many.

    So an account's flood returns at its own rate, and neither it nor an account whose calls fail fills the queue's
    in-flight quota.
    """
    lines: dict[tuple[str, Whose, str | None], list[int]] = {}
    for index, one in enumerate(settled):
        if isinstance(one.end, Waiting) and one.end.of is not Whose.FLEET and one.attributes["account_id"]:
            lines.setdefault((one.attributes["account_id"], one.end.of, one.end.endpoint), []).append(index)
    booked = await asyncio.gather(*(_book(*key, len(indexes), worker) for key, indexes in lines.items()))
    for ((_, whose, endpoint), indexes), times_ms in zip(lines.items(), booked, strict=True):
        if whose is Whose.ACCOUNT_RATE:
            now_ms = worker.now_ms()
            for index, time_ms in zip(indexes, times_ms, strict=False):
                wait_s = max(1, -(-(time_ms - now_ms) // 1_000))
                settled[index] = replace(settled[index], end=Waiting(wait_s, "account rate", whose, endpoint))
        too_many = indexes[len(times_ms) :]
        if too_many and not worker.in_groups and await worker.suspensions.expect_sweep():
            for index in too_many:
                if settled[index].attributes["type"] != ERASURE:  # they are few, and wait no longer than they must
                    settled[index] = replace(settled[index], end=Parked())
    return settled


async def _book(account_id: str, whose: Whose, endpoint: str | None, count: int, worker: Worker) -> list[int]:
    """Book times where an account's waiting messages are counted; to a bulk call they come as many as it takes."""
    gate = worker.gates.of(account_id, endpoint) if whose is Whose.ACCOUNT_RATE else None
    if gate is None:
        return await worker.gates.line(account_id).book(count)
    return await gate.book(count, 1 if endpoint is None else worker.partner.limits.bulk[endpoint].items)


def courier_for(worker: Worker, remaining_s: Callable[[], float]) -> Courier:
    return Courier(
        partner=worker.partner,
        send=worker.send,
        gate=worker.gates.partner,
        account_gates=worker.gates.of,
        blame=worker.gates.blame,
        max_in_flight=worker.max_in_flight,
        attempts=worker.attempts,
        call_timeout_s=worker.call_timeout_s,
        remaining_s=remaining_s,
        now_ms=worker.now_ms,
        in_order=worker.partner.in_order or worker.in_groups,
        jitter=lambda bound: worker.rng.uniform(0, bound),
        log=worker.log,
    )


def clerk_for(worker: Worker) -> Clerk:
    return Clerk(worker.state, worker.now_ms, worker.rng, worker.log, worker.gates.trouble)


async def suspend_refused(jobs: list[Job], credentials: Credentials, worker: Worker) -> None:
    """Suspend the accounts whose credentials were refused, before their messages' ends are decided.

    The first message that was refused is the account's probe; all others have to find the suspension there. A message
    that was refused while others of its account were taken is refused for its own sake, and suspends nobody.
    """
    for job in jobs:
        account_id = job.message.account_id
        refused = [item for item in job.items if _is_refused(item)]
        if not refused or account_id is None:
            continue
        job.is_denied_alone = all(credentials.accepted_since(account_id, item.key) for item in refused)
        suspension = worker.suspensions.of(account_id)
        if job.is_denied_alone or suspension is not None:
            continue
        since_ms = job.progress.denied_ms or job.message.received_at_ms
        job.is_denied_alone = await worker.suspensions.was_accepted_since(account_id, since_ms)
        if not job.is_denied_alone:
            status = refused[0].outcome.status if refused[0].outcome else None
            await worker.suspensions.suspend(account_id, status=status or 401, message_id=job.record["messageId"])


def _is_refused(item: Shipment) -> bool:
    return item.outcome is not None and item.outcome.verdict is Verdict.UNAUTHORIZED


async def conclude(job: Job, worker: Worker) -> Settled:
    """Decide a job's end, and see to what that means for its account and its progress."""
    attributes = {
        "partner": worker.partner.name,
        "type": job.message.type,
        "account_id": job.message.account_id or "",
        **_received(job.record),
    }
    age_s = (worker.now_ms() - job.message.received_at_ms) / 1_000
    if job.place is not Place.SEND and age_s > worker.budgets.age_s(job.message.type):
        letter = DeadLetter(Reason.TOO_OLD, f"its account is suspended; {age_s / 3_600:.0f} hours old")
        return Settled(job.record, letter, attributes)
    if job.place is Place.PARK:
        return Settled(job.record, Parked(), attributes)
    if job.place is Place.PROBE_LATER:
        return Settled(
            job.record, Waiting(worker.suspensions.probe_wait_s(job.message.account_id), "suspended"), attributes
        )
    strike_out(job, worker)
    progress = _after(job, worker)
    story = Story(
        kind=job.message.type,
        received_at_ms=job.message.received_at_ms,
        now_ms=worker.now_ms(),
        attempts=progress.attempts,
        total=job.total,
        receives=int(job.record["attributes"]["ApproximateReceiveCount"]),
        refused=job.progress.refused,
    )
    end = end_of([item.outcome for item in job.items], story, worker.budgets, worker.rng)
    end = job.end = await _account(job, end, progress, worker)
    await _remember(job, end, progress, worker)
    return Settled(job.record, end, attributes, job.total)


def strike_out(job: Job, worker: Worker) -> None:
    """Refuse the delivery on which the partner failed too often while it took others: what is behind it goes on.

    Not of an erasure, whose age alone ends it: the partner's way to erase may be down while its way in is well.
    """
    if job.message.type == ERASURE:
        return
    for item in job.items:
        outcome = item.outcome
        if outcome is None or outcome.verdict is not Verdict.RETRY or not item.attempts or outcome.status == 429:
            continue
        strikes = job.progress.strikes + (item.attempts if _is_healthy(job, worker) else 0)
        if strikes >= worker.budgets.max_strikes:
            error = f"{outcome.error} {strikes} times, while other calls succeed"
            item.outcome = replace(outcome, verdict=Verdict.REJECTED, error=error)
            job.struck_out = True


def _is_healthy(job: Job, worker: Worker) -> bool:
    """Whether others arrive, and others of this account: then what fails is this message."""
    served = worker.gates.is_served(job.message.account_id)
    return served and flows.is_healthy(worker.gates.partner.flow, now_ms=worker.now_ms())


def _after(job: Job, worker: Worker) -> Progress:
    """The job's progress with what this invocation added."""
    done, refused, attempts, strikes = [], {}, 0, 0
    healthy = _is_healthy(job, worker)
    for item in job.items:
        attempts += item.attempts
        if item.outcome is None:
            continue
        if item.outcome.verdict is Verdict.DELIVERED:
            done.append(item.key)
        elif item.outcome.verdict is Verdict.RETRY:
            strikes += item.attempts if healthy and item.outcome.status != 429 else 0
        elif item.outcome.verdict is not Verdict.UNAUTHORIZED:  # which better credentials will mend
            refused[item.key] = item.outcome.error or ""
    progress = job.progress.with_(done=done, refused=refused, attempts=attempts, strikes=strikes)
    if any(map(_is_refused, job.items)):
        progress = replace(progress, denials=progress.denials + job.is_denied_alone, denied_ms=worker.now_ms())
    return replace(progress, strikes=0) if job.struck_out else progress


async def _account(job: Job, end: End, progress: Progress, worker: Worker) -> End:
    """What refused credentials mean for a message; clear the account whose probe arrived."""
    account_id = job.message.account_id
    if account_id is None or (isinstance(end, DeadLetter) and end.reason is Reason.TOO_OLD):
        return end
    suspension = worker.suspensions.of(account_id)
    is_probe = suspension is not None and suspension.probe_id == job.record["messageId"]
    refused = next((item.outcome for item in job.items if item.outcome and _is_refused(item)), None)
    if refused is not None or any(one.because is Because.SUSPENDED for one in _outcomes(job)):
        if suspension is None:
            return _denied(job, refused, progress, worker)
        return Waiting(worker.suspensions.probe_wait_s(account_id), "suspended") if is_probe else Parked()
    if is_probe and any(one.verdict is Verdict.DELIVERED for one in _outcomes(job)):
        await worker.suspensions.clear(account_id)
    return end


def _denied(job: Job, refused: Outcome | None, progress: Progress, worker: Worker) -> End:
    """The end of a message that its credentials, or those of another one in the batch, hold up, although its account
    is not suspended.
    """
    if refused is None:  # the refusals were the other messages' own
        return Waiting(back_off_s(FEW_ATTEMPTS, retry_after_s=None, rng=worker.rng), "refused", Whose.ACCOUNT_FAILURE)
    if not job.is_denied_alone:  # nobody could be told
        return Waiting(worker.suspensions.probe_wait_s(job.message.account_id), "refused", Whose.ACCOUNT_FAILURE)
    if progress.denials >= worker.budgets.max_denials:
        error = f"{refused.error} {progress.denials} times, while others of its account are taken"
        return DeadLetter(Reason.UNAUTHORIZED, error, refused.status, progress.attempts)
    wait_s = back_off_s(progress.attempts, retry_after_s=None, rng=worker.rng)
    return Waiting(wait_s, str(refused.error), Whose.ACCOUNT_FAILURE)


async def _remember(job: Job, end: End, progress: Progress, worker: Worker) -> None:
    """Write progress when something was answered and the message comes back; forget it when it does not."""
    now_s = worker.now_ms() // 1_000
    learnt = progress != job.progress
    try:
        if isinstance(end, Waiting | Parked) and learnt:
            expires_at = now_s + int(worker.budgets.age_s(job.message.type)) + 86_400
            await progresses.write(worker.state, job.message, progress, expires_at=expires_at)
        elif isinstance(end, Delivered) and job.progress.item.rev:
            await progresses.forget(worker.state, job.message)
    except StateUnavailable:
        worker.gates.trouble()
    except Conflict:
        pass  # SQS delivered it twice at once, and the other worker wrote first


async def remember_letters(jobs: list[Job], report: Report, worker: Worker) -> None:
    """What of a dead letter arrived must not be sent again, whether its queue did not take it or somebody redrives it.

    One that was not taken comes back as it was; one that is redriven gets another chance for what was refused.
    """
    failed = set(report.failures)

    async def remember(job: Job) -> None:
        message_id = job.record["messageId"]
        progress = _after(job, worker)
        if not isinstance(job.end, DeadLetter) or not (progress.done or job.progress.item.rev):
            return
        if message_id not in failed:
            progress = replace(progress, refused={}, strikes=0, denials=0)
        await _remember(job, Waiting(0), progress, worker)

    await asyncio.gather(*(remember(job) for job in jobs))


def _outcomes(job: Job) -> list[Outcome]:
    return [item.outcome for item in job.items if item.outcome is not None]


def _received(record: Mapping[str, Any]) -> dict[str, str]:
    return {"first_received_ms": record["attributes"].get("ApproximateFirstReceiveTimestamp", "")}
