"""What a partner makes of fields whose values are odd."""

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest

from shared.errors import InvalidRequest
from shared.firehose import EventProcessingRequest

Found = Callable[..., dict[str, tuple[str, list[str]]]]

counter = itertools.count()


class Stop(Exception):
    """No more of this request."""


def refuse_null(raw: dict[str, Any], _: Any) -> None:
    if raw.get("name", "") is None:
        raise InvalidRequest("no name", "events")


def stop_at_text(raw: dict[str, Any], _: Any) -> None:
    if isinstance(raw.get("location"), str):
        raise Stop


@pytest.mark.parametrize(
    ("identity", "read"),
    [
        ("field.raises", lambda raw, _: sorted(raw.get("attributes") or {})),
        ("field.raises", lambda _, request: len(request.raw.get("user_attribute_lists", {}))),
        ("field.refuses", refuse_null),
        ("field.neighbours", stop_at_text),
        ("field.slow", lambda raw, _: re.fullmatch(r"([0-9]+[0-9]*)y", str(raw.get("name")))),
        ("mapping.differs", lambda raw, _: next(counter) if raw.get("timestamp_ms") is True else 0),
    ],
    ids=["a part's", "the request's", "refuses", "stops", "tries each way", "counts"],
)
def test_what_an_odd_field_may_not_do_is_found(identity: str, read: Any, good: Any, found: Found) -> None:
    """With the field and its value; valid requests show nothing of it."""

    class Odd(good):  # type: ignore[misc]
        def deliveries(self, request: Any) -> Any:
            if not isinstance(request, EventProcessingRequest):
                yield from super().deliveries(request)
                return
            for index, event in enumerate(request.events):
                raw = event.raw if isinstance(event.raw, dict) else {}
                try:
                    said = read(raw, request)
                except Stop:
                    return
                yield self.call(request, {"is": repr(said)}, event.id or f"events[{index}]")

    [(name, (_, places))] = found(Odd()).items()
    assert name == identity
    assert " = " in places[0]
