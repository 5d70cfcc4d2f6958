"""STAGE 3, its beginning: a record is decoded, and mapped to deliveries, each with its Idempotency-Key.

It is mapped only as far as the caller asks: each delivery repeats the request's context, so all together may be far
larger than the request.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from partners import Delivery, LeftOut, Partner
from shared.errors import NewerMessage, Unmappable
from shared.firehose import parse_request
from shared.idempotency import Places, key_of
from shared.message import ERASURE, Message, decode, events_in, text_of
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import Waiting
from worker_fn.batch.event_ids import event_ids
from worker_fn.batch.job import Job
from worker_fn.batch.memory import MIB, Room, exact_weight_of, odd_weight_of, weight_of
from worker_fn.batch.progress import Key
from worker_fn.clients.http import UNSENDABLE
from worker_fn.dispatch.lanes import Dispatch, together

NEWER_WAIT_S, NEWER_MS = 60, 3_600_000
"""How long a message of a later release waits between two receives, and how long in all since a worker first received
it. Two releases are at work while an alias moves, and for longer where somebody moved one by hand.
"""

FIRST = 100
"""How many of its first deliveries tell which credentials a message carries. Credentials come from the account's
settings, so they are nearly always alike; a message that is not mapped as a whole is mapped at least so far.
"""


def weigh(job: Job, room: Room) -> None:
    """Estimate the memory that reading a record takes. Raises Unmappable if the function has less."""
    text = text_of(job.record["body"])
    job.weight = weight_of(text)
    if job.weight > room.message:
        job.weight = exact_weight_of(text)
    _check_weight(job, room)


def _check_weight(job: Job, room: Room) -> None:
    if job.weight > room.message:
        need, have = job.weight // MIB, room.message // MIB
        raise Unmappable(f"reading it takes about {need} MiB and the function has {have}: give it more, then redrive")


def read(job: Job, room: Room, *, now_ms: int, keeps: int) -> None:
    """Decode a record, and keep its payload if it weighs at most `keeps`. A message of a later release waits. Raises
    UndecodableMessage, or Unmappable as `weigh` does.
    """
    try:
        message = decode(job.record["body"])
    except NewerMessage:
        if now_ms - job.number("ApproximateFirstReceiveTimestamp", 0) >= NEWER_MS:
            raise
        job.end = Waiting(NEWER_WAIT_S, "of a later release")
        return
    job.message, job.events = replace(message, payload={}), events_in(message.type, message.payload)
    job.weight += odd_weight_of(message.payload)
    _check_weight(job, room)
    if job.weight <= keeps:
        job.message, job.holds = message, True


def begin(job: Job, worker: Worker) -> None:
    """Have the partner map a message, which happens when its `source` is asked for deliveries. Raises anything."""
    partner = worker.partner
    if not job.holds:
        job.message = decode(job.record["body"])
    request = parse_request(job.message.payload, only=partner.reads)
    if worker.tells_ids:
        job.event_ids = event_ids(job.message.type, job.message.payload)
    job.message = replace(job.message, payload={})
    job.holds = True
    job.malformed = request.malformed
    job.lane = partner.lane_of(request)
    hash(job.lane)  # raises for what can be no key
    said = iter(partner.deliveries(request))
    keyed = with_keys(job.message, _deliveries(job, said))
    job.source = (_dispatch(job, _declared(one, partner), key, worker) for one, key in keyed)
    job.let_go = getattr(said, "close", None)


def tell_credentials(job: Job, worker: Worker) -> None:
    """Read and map a message only as far as its credentials require. Raises anything; call `close` afterwards."""
    weigh(job, worker.room)
    read(job, worker.room, now_ms=worker.now_ms(), keeps=worker.room.message)
    if job.end is None:
        begin(job, worker)
        for _ in islice(job.source or (), FIRST):
            pass


def close(job: Job) -> None:
    """Let go of the request. Raises whatever a partner's generator raises when it is closed."""
    let_go, job.let_go = job.let_go, None
    job.source, job.holds = None, False
    job.message = replace(job.message, payload={})
    if let_go is not None:
        let_go()


def with_keys(message: Message, deliveries: Iterable[Delivery]) -> Iterator[tuple[Delivery, str]]:
    """Give each delivery its Idempotency-Key: the same for the same part of the same request of the same account,
    whoever sends it and when.
    """
    places = Places()
    for delivery in deliveries:
        former = (message.id, message.part, *places.next(delivery.method, delivery.url, delivery.item))
        yield delivery, Key(key_of(message.account_id or "", *former), key_of(*former))


def _dispatch(job: Job, delivery: Delivery, key: str, worker: Worker) -> Dispatch:
    """A delivery, and which credentials it carries. A delivery that cannot be sent carries none."""
    ids = (job.message.id, job.message_id)
    item = Dispatch(delivery, key, alone=job.message.type == ERASURE, of=ids)
    with suppress(*UNSENDABLE):
        item.fingerprint = worker.fingerprint(delivery)
    if job.total < FIRST:
        job.fingerprints.add(item.fingerprint)
    return item


def _deliveries(job: Job, mapped: Iterable[Delivery | LeftOut]) -> Iterator[Delivery]:
    """Take out the parts that become no call."""
    for one in mapped:
        job.looked_at += 1
        if isinstance(one, LeftOut):
            hash(one)
            job.left_out.append((job.looked_at, one))
        else:
            job.note_call_for(getattr(one, "item", ""))
            yield one


def _declared(delivery: Delivery, partner: Partner) -> Delivery:
    """The delivery, if it can be packed. Raises Unmappable, or TypeError for a value that cannot be a key."""
    hash(together(delivery))
    if delivery.merge is not None and delivery.merge not in partner.limits.bulk:
        names = ", ".join(sorted(partner.limits.bulk)) or "nothing"
        raise Unmappable(f"a delivery's `merge` is not declared: `limits.bulk` of {partner.name} holds {names}")
    return delivery
