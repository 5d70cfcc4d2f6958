"""STAGE 3, its beginning: a record is decoded, and mapped to deliveries, each with its Idempotency-Key.

A record is mapped only as far as the caller asks: each delivery repeats the request's context, so all deliveries
together may be far larger than the request.
"""

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from partners import Delivery, LeftOut, Partner
from shared.errors import NewerMessage, Unmappable
from shared.firehose import parse_request
from shared.idempotency import Places
from shared.message import ERASURE, EVENTS, Message, decode, events_in, text_of
from worker_fn.batch.alone import ends_alone
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import Waiting
from worker_fn.batch.job import Job
from worker_fn.batch.memory import MIB, Room, exact_weight_of, odd_weight_of, weight_of
from worker_fn.batch.progress import Key
from worker_fn.batch.time_limit import at_most, ticking
from worker_fn.clients.http import UNSENDABLE
from worker_fn.dispatch.lanes import Dispatch, together

NEWER_WAIT_S, NEWER_MS = 60, 3_600_000
"""How long a message of a later release waits between two receives, and how long in all since a worker first received
it. Two releases are at work while an alias moves, and for longer where somebody moved one by hand.
"""

FIRST = 100
"""How many of a message's first deliveries tell which credentials it carries. Credentials come from the account's
settings, so they are nearly always alike; even a message that is not wholly mapped is mapped this far.
"""

MOST_IDS = 2_000
"""The most event ids of one message that are logged: the first ones."""
_ID = re.compile(r"-?[0-9A-Za-z][0-9A-Za-z._:-]{0,127}")
"""The form of mParticle's ids: no e-mail address has it."""

CLOSING_S = 1.0
"""The time for closing a generator that is not needed any more: it has nothing left to do."""


def weigh(job: Job, room: Room) -> None:
    """Estimate the memory that reading a record takes. Raises Unmappable if the function has less."""
    text = text_of(job.record.raw["body"])
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
        message = decode(job.record.raw["body"])
    except NewerMessage:
        if now_ms - job.record.number("ApproximateFirstReceiveTimestamp", 0) >= NEWER_MS:
            raise
        job.end = Waiting(NEWER_WAIT_S, "of a later release")
        return
    payload = message.payload
    job.message = Message(message.id, message.part, message.type, message.account_id, message.received_at_ms, {})
    job.events = events_in(message.type, payload)
    job.weight += odd_weight_of(payload)
    _check_weight(job, room)
    if job.weight <= keeps:
        job.payload = payload


def begin(job: Job, worker: Worker) -> None:
    """Have the partner map a message, which happens when its `source` is asked for deliveries. Raises anything."""
    partner = worker.partner
    payload, job.payload = job.payload, None
    if payload is None:
        payload = decode(job.record.raw["body"]).payload
    request = parse_request(payload, only=partner.reads)
    if worker.tells_ids:
        job.event_ids = _event_ids(job.message.type, payload)
    job.malformed = request.malformed
    job.lane = partner.lane_of(request)
    hash(job.lane)  # raises for what can be no key
    job.source = _dispatches(job, iter(partner.deliveries(request)), worker)


def tell_credentials(job: Job, worker: Worker) -> None:
    """Read and map a message only as far as its credentials require. Raises anything; call `let_go` afterwards."""
    weigh(job, worker.room)
    read(job, worker.room, now_ms=worker.now_ms(), keeps=worker.room.message)
    if job.end is None:
        begin(job, worker)
        for _ in islice(job.source or (), FIRST):
            pass


def let_go(job: Job) -> None:
    """Forget the request, however far it is mapped. What a partner's generator raises as it is closed ends the job."""
    source, job.source, job.payload = job.source, None, None
    if source is not None:
        with ends_alone(job), ticking(), at_most(CLOSING_S):
            source.close()


def key_for(message: Message, delivery: Delivery, places: Places) -> Key:
    """The Idempotency-Key of a request's next delivery: the same for the same part of the same request of the same
    account, whoever sends it and when. `places` counts those before it.
    """
    place = places.next(delivery.method, delivery.url, delivery.item)
    return Key.of(message.account_id or "", message.id, message.part, *place)


def _dispatches(job: Job, mapped: Iterator[Delivery | LeftOut], worker: Worker) -> Generator[Dispatch, None, None]:
    """The deliveries of a message with their keys and credentials, without the parts that become no call."""
    ids, alone, places = (job.message.id, job.record.message_id), job.message.type == ERASURE, Places()
    last: object = None
    try:
        for one in mapped:
            job.looked_at += 1
            if isinstance(one, LeftOut):
                hash(one)
                job.left_out.append((job.looked_at, one))
                continue
            key = key_for(job.message, one, places)
            item = Dispatch(_declared(one, worker.partner), key, alone=alone, of=ids)
            job.called += one.item != last  # several calls of one item come one after the other
            last = one.item
            with suppress(*UNSENDABLE):  # a delivery that cannot be sent has no credentials
                item.fingerprint = worker.fingerprint(one)
            if job.total < FIRST:
                job.fingerprints.add(item.fingerprint)
            yield item
    finally:
        if (close := getattr(mapped, "close", None)) is not None:
            close()


def _declared(delivery: Delivery, partner: Partner) -> Delivery:
    """The delivery, if it can be packed. Raises Unmappable, or TypeError for a value that cannot be a key."""
    hash(together(delivery))
    if delivery.merge is not None and delivery.merge not in partner.limits.bulk:
        names = ", ".join(sorted(partner.limits.bulk)) or "nothing"
        raise Unmappable(f"a delivery's `merge` is not declared: `limits.bulk` of {partner.name} holds {names}")
    return delivery


def _event_ids(kind: str, payload: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of a request's events and notifications, in their order; a value that is no id is left out."""
    fields = ("events", "system_notifications") if kind == EVENTS else ()
    lists = (listed for field in fields if isinstance(listed := payload.get(field), list))
    given = (one.get("id") for listed in lists for one in listed if isinstance(one, Mapping))
    ids = (str(one) for one in given if isinstance(one, str | int) and not isinstance(one, bool))
    return tuple(islice(filter(_ID.fullmatch, ids), MOST_IDS))
