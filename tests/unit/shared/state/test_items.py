"""Reading a value that anybody may have written."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.state import fields_in, whole_in


@dataclass
class Kept:
    count: int = 0
    rate: float | None = None
    name: str = ""
    is_on: bool = False
    inner: dict[str, int] = field(default_factory=dict)


@pytest.mark.parametrize(
    "value",
    [
        {"count": 3, "rate": 2.5, "name": "x", "is_on": True},
        {"count": 0, "rate": 2, "name": ""},
        {"rate": None},
        {"count": 2**63 - 1},
        {},
    ],
)
def test_what_is_of_its_fields_kind_is_read(value: dict[str, Any]) -> None:
    """A rate may be written as a whole number; what is not there is not read."""
    assert fields_in(value, Kept) == value


@pytest.mark.parametrize(
    "value",
    [
        {"count": "3"},
        {"count": 3.0},
        {"count": True},
        {"count": None},
        {"count": -1},
        {"count": 2**63},
        {"rate": "2.5"},
        {"rate": float("nan")},
        {"rate": float("inf")},
        {"rate": False},
        {"name": 1},
        {"name": None},
        {"is_on": 1},
        {"inner": {"a": 1}},
        {"other": 1},
        [["count", 3]],
        "count",
        None,
        7,
    ],
    ids=str,
)
def test_what_is_of_another_kind_is_not_there(value: Any) -> None:
    """A number in a text, another shape, a number that is none of ours, a field of nobody; and what has no fields."""
    assert fields_in(value, Kept) == {}


@pytest.mark.parametrize("found", ["3", None, True, 3.5, -3, [3], 2**63])
def test_a_whole_number_that_is_none_is_0(found: object) -> None:
    """As one that is not there."""
    assert (whole_in({"n": found}, "n"), whole_in({}, "n"), whole_in({"n": 3}, "n")) == (0, 0, 3)
