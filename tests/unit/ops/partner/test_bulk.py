"""Of a partner's bulk calls: what they may hold, and how their answers are read."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from partners import Bulk, Delivery, Limits, Result

Found = Callable[..., dict[str, tuple[str, list[str]]]]

counter = itertools.count()
JSON_TYPE = {"Content-Type": "application/json"}


def test_a_kind_that_is_not_declared_is_found(good: Any, found: Found) -> None:
    """Nothing would limit it by itself; where no kinds are declared, any may be named."""

    class OfKinds(good):  # type: ignore[misc]
        limits = Limits(bulk={"bulk": Bulk(10, kinds={"events": 2})})
        kind = "event"

        def call(self, request: Any, content: Any, item: str, **more: Any) -> Delivery:
            of_kind = {"merge_kind": self.kind} if "merge" in more else {}
            return super().call(request, content, item, **more, **of_kind)  # type: ignore[no-any-return]

    assert set(found(OfKinds())) == {"merge.kind"}
    OfKinds.kind = 5  # type: ignore[assignment]
    assert set(found(OfKinds())) == {"delivery.type"}


@pytest.mark.parametrize(
    ("identity", "spoil"),
    [
        ("merge.raises", lambda merge, some, keys: 1 / 0),
        ("merge.delivery.type", lambda merge, some, keys: None),
        ("merge.loses", lambda merge, some, keys: merge(some[:2], keys[:2])),
        ("merge.differs", lambda merge, some, keys: replace(merge(some, keys), item=f"{next(counter)}")),
        ("merge.too_large", lambda merge, some, keys: replace(merge(some, keys), body=b" " * 100_000 + some[0].body)),
        (
            "merge.secret.shown",
            lambda merge, some, keys: replace(
                merge(some, keys), headers={**JSON_TYPE, "X": some[0].secret_headers["Authorization"].value}
            ),
        ),
    ],
)
def test_a_spoilt_merge_is_found(identity: str, spoil: Any, good: Any, found: Found) -> None:
    """A bulk call is spoilt in one way, and that way is named."""

    class Spoilt(good):  # type: ignore[misc]
        def merge(self, deliveries: Any, keys: Any) -> Any:
            return spoil(super().merge, deliveries, keys)

    assert identity in found(Spoilt())


@pytest.mark.parametrize(
    ("identity", "read"),
    [
        ("answer.raises", lambda some, status, body: {"fine": None}[body.decode()]),
        ("answer.raises", lambda some, status, body: ["fine"] * len(some)),
        ("answer.count", lambda some, status, body: []),
        ("answer.contradicts", lambda some, status, body: [Result.REJECTED] * len(some)),
    ],
)
def test_an_answer_that_is_not_read_carefully_is_found(identity: str, read: Any, good: Any, found: Found) -> None:
    """Garbage must not raise with a 200, nor give another number of results, nor more than the status allows."""

    class Spoilt(good):  # type: ignore[misc]
        def read_response(self, deliveries: Any, status: int, body: bytes) -> Any:
            return read(deliveries, status, body)

    assert identity in found(Spoilt())


@pytest.mark.parametrize(
    "read",
    [
        lambda some, status, body: None,
        lambda some, status, body: [Result.RETRY] * len(some),
        lambda some, status, body: None if status < 300 else {"fine": None}[body.decode()],
    ],
)
def test_an_answer_that_is_read_carefully_is_fine(read: Any, good: Any, found: Found) -> None:
    """Nothing said, everything waiting, and raising where the status decides anyhow."""

    class Careful(good):  # type: ignore[misc]
        def read_response(self, deliveries: Any, status: int, body: bytes) -> Any:
            return read(deliveries, status, body)

    assert found(Careful()) == {}
