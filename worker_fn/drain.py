"""STAGE 3, the main path: decode -> map -> send -> settle.

Messages are worked side by side, at most `max_in_flight` calls at a time; a message's own deliveries go one after the
other unless the partner says that their order does not matter. Sending stops early enough to settle everything that
was received.
"""

import hashlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from partners import Delivery, Partner
from shared.errors import InvalidRequest, UndecodableMessage
from shared.firehose import parse_request
from shared.message import Message, decode
from worker_fn.classify import Outcome, Verdict, classify
from worker_fn.http_client import Answer
from worker_fn.retry import back_off_s, send_with_retries
from worker_fn.settle import REASON_OF, DeadLetter, Delivered, End, Queue, Reason, Report, Settled, Waiting, settle

SHORTEST_CALL_S = 0.5
"""A call that could not be given even this long is not begun."""

Send = Callable[[Delivery, str, float], Answer]
"""Make one call: the delivery, its idempotency key, and the seconds that it may take."""

NOT_SENT = Outcome(Verdict.RETRY, error="out of time")


@dataclass(frozen=True, slots=True)
class Worker:
    """What draining needs; all of it can be a fake, clocks and chance included."""

    partner: Partner
    send: Send
    queue: Queue
    max_in_flight: int
    attempts: int
    settle_reserve_s: float
    call_timeout_s: float
    wall_clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = field(default_factory=random.Random)


@dataclass(frozen=True, slots=True)
class Call:
    """A delivery on its way, and what came of it."""

    outcome: Outcome
    attempts: int


@dataclass(frozen=True, slots=True)
class Job:
    """A record that mapped: its message and the lanes of deliveries, each lane in order."""

    record: Mapping[str, Any]
    message: Message
    lanes: list[list[tuple[Delivery, str]]]


def drain(records: list[dict[str, Any]], worker: Worker, remaining_s: Callable[[], float]) -> Report:
    """Work a batch of SQS records within `remaining_s` seconds; every record gets its end."""
    ready: list[Job] = []
    settled: list[Settled] = []
    for record in records:
        job = prepare(record, worker.partner)
        if isinstance(job, Job):
            ready.append(job)
        else:
            settled.append(job)
    settled += deliver(ready, worker, lambda: remaining_s() - worker.settle_reserve_s)
    return settle(settled, worker.queue)


def prepare(record: dict[str, Any], partner: Partner) -> Job | Settled:
    """Decode and map one record; one that can not be is dead-lettered, its neighbours are not touched."""
    attributes = {"partner": partner.name, **_received(record)}
    try:
        message = decode(record["body"])
    except UndecodableMessage as error:
        return Settled(record, DeadLetter(Reason.UNDECODABLE, str(error)), attributes)
    attributes |= {"type": message.type, "account_id": message.account_id or ""}
    try:
        deliveries = list(partner.deliveries(parse_request(message.payload)))
    except InvalidRequest as error:
        return Settled(record, DeadLetter(Reason.UNMAPPABLE, str(error)), attributes)
    except Exception as error:
        where = _raised_at(error)
        return Settled(record, DeadLetter(Reason.UNMAPPABLE, f"{type(error).__name__} in {where}"), attributes)
    keyed = list(with_keys(message, deliveries))
    return Job(record, message, [keyed] if partner.in_order else [[one] for one in keyed])


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


def deliver(jobs: list[Job], worker: Worker, remaining_s: Callable[[], float]) -> list[Settled]:
    """Send what the jobs hold and judge each job by what came of its deliveries."""
    with ThreadPoolExecutor(worker.max_in_flight, thread_name_prefix="deliver") as pool:
        running: list[tuple[Job, list[Future[list[Call]]]]] = [
            (job, [pool.submit(send_lane, lane, worker, remaining_s) for lane in job.lanes]) for job in jobs
        ]
        return [
            conclude(job, [call for lane in lanes for call in lane.result()], worker.partner, worker.rng)
            for job, lanes in running
        ]


def send_lane(lane: list[tuple[Delivery, str]], worker: Worker, remaining_s: Callable[[], float]) -> list[Call]:
    """Send deliveries one after the other. One that must wait holds back those behind it; a refused one does not."""
    calls = []
    for delivery, key in lane:
        calls.append(send_one(delivery, key, worker, remaining_s))
        if calls[-1].outcome.verdict is Verdict.RETRY:
            break
    return calls


def send_one(delivery: Delivery, key: str, worker: Worker, remaining_s: Callable[[], float]) -> Call:
    """Send one delivery, with the short retries, as long as there is time."""

    def attempt() -> Outcome:
        timeout_s = min(worker.call_timeout_s, remaining_s())
        try:
            answer = worker.send(delivery, key, timeout_s)
        except (ValueError, TypeError) as error:  # a header with a line break, say
            return Outcome(Verdict.UNSENDABLE, error=type(error).__name__)
        return classify(answer, now_s=worker.wall_clock())

    if remaining_s() < SHORTEST_CALL_S:
        return Call(NOT_SENT, 0)
    outcome, attempts = send_with_retries(
        attempt,
        attempts=worker.attempts,
        remaining_s=lambda: remaining_s() - SHORTEST_CALL_S,
        rng=worker.rng,
        sleep=worker.sleep,
    )
    return Call(outcome, attempts)


def conclude(job: Job, calls: list[Call], partner: Partner, rng: random.Random) -> Settled:
    """The end of a message from the outcomes of its deliveries: what must wait comes first, then what was refused."""
    attempts = sum(call.attempts for call in calls)
    attributes = {
        "partner": partner.name,
        "type": job.message.type,
        "account_id": job.message.account_id or "",
        **_received(job.record),
    }
    waiting = [call.outcome for call in calls if call.outcome.verdict is Verdict.RETRY]
    refused = [call.outcome for call in calls if call.outcome.verdict in REASON_OF]
    end: End = Delivered()
    if waiting:
        end = Waiting(_wait_s(waiting, job.record, rng), waiting[0])
    elif refused:
        worst = next((one for one in refused if one.verdict is Verdict.UNAUTHORIZED), refused[0])
        error = f"{worst.error} for {len(refused)} of {len(calls)} deliveries"
        end = DeadLetter(REASON_OF[worst.verdict], error, worst.status, attempts)
    return Settled(job.record, end, attributes)


def _wait_s(waiting: list[Outcome], record: Mapping[str, Any], rng: random.Random) -> int:
    if all(outcome is NOT_SENT for outcome in waiting):
        return 1  # nobody said no: the time of this invocation ran out
    asked = max((outcome.retry_after_s or 0.0 for outcome in waiting), default=0.0)
    return back_off_s(int(record["attributes"]["ApproximateReceiveCount"]), retry_after_s=asked, rng=rng)


def _received(record: Mapping[str, Any]) -> dict[str, str]:
    return {"first_received_ms": record["attributes"].get("ApproximateFirstReceiveTimestamp", "")}


def _raised_at(error: BaseException) -> str:
    """File and line of the innermost frame: where to look, without what was looked at."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "unknown"
    return f"{traceback.tb_frame.f_code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno}"
