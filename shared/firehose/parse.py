"""mParticle's JSON in, a typed request out."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from shared.errors import InvalidRequest
from shared.firehose.json_text import decode
from shared.firehose.messages import (
    AudienceMembershipChangeRequest,
    AudienceSubscriptionRequest,
    DsrProcessingRequest,
    EventProcessingRequest,
    ModuleRegistrationRequest,
    Request,
)
from shared.firehose.values import text

_BY_TYPE: dict[str, type[Request]] = {
    "module_registration_request": ModuleRegistrationRequest,
    "event_processing_request": EventProcessingRequest,
    "audience_membership_change_request": AudienceMembershipChangeRequest,
    "audience_subscription_request": AudienceSubscriptionRequest,
    "dsr_processing_request": DsrProcessingRequest,
}


_LISTS = frozenset({"events", "system_notifications", "user_profiles"})


def parse_request(payload: dict[str, Any] | bytes | str, *, only: Collection[str] | None = None) -> Request:
    """Read one request: JSON text, or the object that Lambda's runtime made of it (whose floats are taken by their
    shortest spelling). The request's `raw` is that object.

    `only`: the fields whose objects and lists are read; other objects and lists are only in `raw`, and asking for such
    a field raises Unmappable. Invalid requests are refused all the same. An audience subscription, which ingest answers
    and no worker maps, is always read as a whole.

    Raises InvalidRequest for what is no request at all: not JSON, not an object, no `type` or one that is no request's,
    or the container of its content (`events`, `system_notifications`, `user_profiles`, `subject_identities`) not being
    the list or object that it is declared as. Everything else is read: see `malformed`, `Unknown`, `UnknownEvent`,
    `MalformedEvent`.
    """
    content: Any = decode(payload) if isinstance(payload, bytes | str) else payload
    if not isinstance(content, dict):
        raise InvalidRequest("expected a JSON object")
    kind = content.get("type")
    if kind is None:
        raise InvalidRequest("missing", "type")
    if not isinstance(kind, str):
        raise InvalidRequest("expected a string", "type")
    model = _BY_TYPE.get(kind)
    if model is None:
        raise InvalidRequest("expected the type of a request", "type")
    try:
        if only is None or model is AudienceSubscriptionRequest:
            return model.model_validate(content)
        read = _plain_fields(model).union(only)
        request = model.model_validate(dict(_without_content(content, read)))
    except RecursionError:
        raise InvalidRequest("nested too deeply") from None
    unread = (name for name, value in content.items() if name not in read and value and isinstance(value, dict | list))
    return request.read_in_part(content, frozenset(unread))


def id_of(value: Any) -> str | None:
    """The id of an event as its model has it, without reading the rest; never raises."""
    try:
        return text(value.get("id")) if isinstance(value, dict) else None
    except ValueError:
        return None


@cache
def _plain_fields(model: type[BaseModel]) -> frozenset[str]:
    """Fields that hold no object or list: if such a field has one, it is malformed, like any other wrong value."""

    def holds(kind: Any) -> bool:
        return (
            kind is Any  # a model of its own kind, which a reader of its own makes
            or get_origin(kind) in {list, dict}
            or (isinstance(kind, type) and issubclass(kind, BaseModel))
            or any(map(holds, get_args(kind)))
        )

    return frozenset(name for name, field in model.model_fields.items() if not holds(field.annotation))


def _without_content(content: Mapping[str, Any], read: Collection[str]) -> Iterator[tuple[str, Any]]:
    """The fields of a request, empty where they are not to be read."""
    for name, value in content.items():
        if name in read or not isinstance(value, dict | list):
            yield name, value
        elif isinstance(value, list):
            yield name, []
        elif name in _LISTS:
            yield name, {}
