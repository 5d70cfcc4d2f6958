"""STAGE 1, the main path: look at the request, then answer it or queue it.

Ingest validates no more than it needs. A request that the worker cannot use is better found by the worker, where it can
be dead-lettered, shown and redriven. A request that is refused here may be lost.
"""

import hashlib
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Protocol

from ingest_fn import replies
from ingest_fn.accepted import Accepted
from ingest_fn.payload import text_of
from ingest_fn.settings import Settings
from shared.errors import InvalidRequest
from shared.message import AUDIENCE, ERASURE, EVENTS, QUEUED_TYPES, Head, encode, events_in, head_of
from shared.queue import Outgoing

_USER_FIELDS = ("user_identities", "user_attributes", "user_attribute_lists", "mpid", "consent_state")


class Queue(Protocol):
    """Where requests go: shared.queue.Sender, or a list in a test."""

    def send(self, messages: list[Outgoing]) -> Sequence[str]:
        """Return only when every message is durably queued, with SQS's ids of them. Raises QueueUnavailable."""


def ingest(
    request: object,
    *,
    settings: Settings,
    queue: Queue,
    suspended: Container[str] = (),
    remaining_s: float = 5.0,
    note_erasure: Callable[[Head, Mapping[str, Any]], None] = lambda *_: None,
    note_accepted: Callable[[Accepted], None] = lambda _: None,
    stored: Callable[[], Iterable[tuple[str, str]]] = tuple,
    clock: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Answer one invocation of mParticle's.

    `remaining_s` is the rest of the function's time; `stored` reads the partner's settings in SSM or Secrets Manager,
    for the one request that calls the partner. Raises InvalidRequest (naming the field) for a request that can never
    succeed, QueueUnavailable when nothing was accepted, SubscriptionFailed.
    """
    if not isinstance(request, dict):
        raise InvalidRequest("the request must be a JSON object")
    now_ms = int(clock() * 1000)
    text = text_of(request)
    head = head_of(request, text, received_at_ms=now_ms)
    if head.type in QUEUED_TYPES:
        if not is_probe(request, head.type) or _tells_of_a_user(request, head.type, settings):
            ids = queue.send(messages(head, request, text, fifo=settings.fifo))
            note_accepted(Accepted(head, ids, events_in(head.type, request), len(text)))
        if head.type == ERASURE:
            note_erasure(head, request)
        suspend = head.type == AUDIENCE and head.account_id is not None and head.account_id in suspended
        return replies.accepted(head.type, request_id=head.id, now_ms=now_ms, suspend=suspend)
    if head.type == replies.REGISTRATION:
        from ingest_fn.registration import register  # noqa: PLC0415 - pydantic stays off the hot path

        return register(settings.env, request_id=head.id, now_ms=now_ms)
    if head.type == replies.SUBSCRIPTION:
        from ingest_fn.subscription import subscribe  # noqa: PLC0415 - as above

        return subscribe(settings.env, text, stored=stored, request_id=head.id, now_ms=now_ms, remaining_s=remaining_s)
    known = ", ".join(sorted((*QUEUED_TYPES, replies.REGISTRATION, replies.SUBSCRIPTION)))
    raise InvalidRequest(f"must be one of {known}", "type")


def is_probe(request: Mapping[str, Any], kind: str) -> bool:
    """mParticle's verification traffic: no events and no notifications to forward, or no user profiles."""
    if kind == EVENTS:
        return not _listed(request, "events") and not _listed(request, "system_notifications")
    return kind == AUDIENCE and not _listed(request, "user_profiles")


def _tells_of_a_user(request: Mapping[str, Any], kind: str, settings: Settings) -> bool:
    """An eventless batch for a partner that registered for them: a change of the user's attributes, say."""
    if kind != EVENTS or not any(request.get(field) for field in _USER_FIELDS):
        return False
    from ingest_fn.registration import forwards_eventless  # noqa: PLC0415 - pydantic stays off the hot path

    return forwards_eventless(settings.env)


def messages(head: Head, request: Mapping[str, Any], text: bytes, *, fifo: bool = False) -> list[Outgoing]:
    """The queue messages that carry the request, in order. Raises RequestTooLarge.

    On a standard queue their group is the account, so that SQS's fair queueing keeps one customer's flood from the
    others; on a FIFO queue it is the user, whose messages stay in order.
    """
    attributes = {"type": head.type}
    if head.account_id is not None:
        attributes["account_id"] = head.account_id
    bodies = encode(head, text)
    if not fifo:
        return [Outgoing(body, attributes, group_id=head.account_id) for body in bodies]
    # An erasure waits for up to 13 days: it must not hold back what its user does meanwhile, nor be held back by it.
    user = None if head.type == ERASURE else user_of(request)
    group_id = _digest(head.account_id, user or head.id)
    return [
        Outgoing(body, attributes, group_id, _digest(head.account_id, head.id, f"{number}/{len(bodies)}"))
        for number, body in enumerate(bodies, start=1)
    ]


def user_of(request: Mapping[str, Any]) -> str | None:
    """The user whose order a FIFO queue keeps: mpid or device's stamp; in an audience change its only user's mpid."""
    profiles = request.get("user_profiles")
    alone = profiles[0] if isinstance(profiles, list) and len(profiles) == 1 and isinstance(profiles[0], dict) else {}
    for found in (request.get("mpid"), alone.get("mpid"), request.get("device_application_stamp")):
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            return str(found)
    return None


def _digest(*parts: str | None) -> str:
    """One id that SQS accepts, made of any texts: letters and digits, at most 128."""
    return hashlib.sha256("\n".join(part or "" for part in parts).encode("utf-8", "surrogatepass")).hexdigest()


def _listed(request: Mapping[str, Any], field: str) -> list[Any]:
    """The list under `field`; missing, null and [] are alike. Raises InvalidRequest for anything else."""
    value = request.get(field)
    if value is not None and not isinstance(value, list):
        raise InvalidRequest("must be a list", field)
    return value or []
