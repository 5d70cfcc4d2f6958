"""STAGE 3, its beginning: a record is decoded and mapped to deliveries, each with its Idempotency-Key."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from partners import Delivery, LeftOut, Partner
from shared.errors import InvalidRequest, NewerMessage, UndecodableMessage, raised_at
from shared.firehose import parse_request
from shared.message import ERASURE, Message, decode
from worker_fn.courier import Shipment, together
from worker_fn.ends import DeadLetter, Reason, Waiting
from worker_fn.job import Job
from worker_fn.progress import Key
from worker_fn.settle import Settled

NEWER_WAIT_S, NEWER_MS = 60, 3_600_000
"""A message of a later release waits so long each time, and so long in all since a worker first had it: two releases
are at work while an alias moves, and for longer where somebody moved one by hand.
"""


def prepare(record: dict[str, Any], partner: Partner, *, now_ms: int) -> Job | Settled:
    """Decode and map one record; one that can not be is dead-lettered, its neighbours are not touched."""
    attributes = {"partner": partner.name, **received(record)}
    try:
        message = decode(record["body"])
    except NewerMessage as error:
        known_ms = now_ms - int(record["attributes"].get("ApproximateFirstReceiveTimestamp", 0))
        late = known_ms >= NEWER_MS
        end = DeadLetter(Reason.UNDECODABLE, str(error)) if late else Waiting(NEWER_WAIT_S, "of a later release")
        return Settled(record, end, attributes)
    except UndecodableMessage as error:
        return Settled(record, DeadLetter(Reason.UNDECODABLE, str(error)), attributes)
    attributes |= {"type": message.type, "account_id": message.account_id or ""}
    try:
        request = parse_request(message.payload)
        mapped = list(partner.deliveries(request))
        left_out = tuple(one for one in mapped if isinstance(one, LeftOut))
        keyed = with_keys(message, (one for one in mapped if not isinstance(one, LeftOut)))
        items = [Shipment(delivery, key, alone=message.type == ERASURE) for delivery, key in keyed]
        lane = partner.lane_of(request)
        hash((lane, *(together(item.delivery) for item in items), *left_out))  # raises for what can be no key
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
    return Job(record, message, items, len(items), lane, malformed=request.malformed, left_out=left_out)


def with_keys(message: Message, deliveries: Iterable[Delivery]) -> Iterable[tuple[Delivery, str]]:
    """Give each delivery its Idempotency-Key: the same for the same part of the same request of the same account,
    whoever sends it and when.
    """
    seen: Counter[tuple[str, str]] = Counter()
    for delivery in deliveries:
        endpoint = f"{delivery.method} {urlsplit(delivery.url).path}"
        seen[endpoint, delivery.item] += 1
        former = (message.id, message.part, endpoint, delivery.item, str(seen[endpoint, delivery.item]))
        yield delivery, Key(_key(message.account_id or "", *former), _key(*former))


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def received(record: Mapping[str, Any]) -> dict[str, str]:
    return {"first_received_ms": record["attributes"].get("ApproximateFirstReceiveTimestamp", "")}
