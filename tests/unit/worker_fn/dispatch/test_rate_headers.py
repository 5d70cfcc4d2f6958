"""Rate headers become a cool-down only if they say that nothing is left, and never one of a week."""

from collections.abc import Mapping

import pytest

from partners import RateHeaders
from worker_fn.dispatch.rate_headers import cool_down_s

NOW_S = 1_790_000_000.0
EPOCH, DELTA = (RateHeaders("X-Remaining", "X-Reset", kind) for kind in ("epoch_s", "delta_s"))  # type: ignore[arg-type]


def said(remaining: str | None, reset: str | None) -> dict[str, str]:
    given = {"x-remaining": remaining, "x-reset": reset}
    return {name: value for name, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("declared", "headers", "wait_s"),
    [
        (EPOCH, said("0", "1790000030"), 30.0),
        (EPOCH, said(" 0 ", "1790000030.5"), 30.5),
        (EPOCH, said("-3", "1790000030"), 30.0),
        (DELTA, said("0", "30"), 30.0),
        (DELTA, said("0.0", "0.25"), 0.25),
        (EPOCH, said("1", "1790000030"), None),
        (EPOCH, said("0", "1789999999"), None),
        (DELTA, said("0", "0"), None),
        (DELTA, said("0", "-5"), None),
        (EPOCH, said("0", "1790007200"), 7_200.0),
        (EPOCH, said("0", "1790000030000"), None),
        (DELTA, said("0", "9" * 16), None),
        *((DELTA, said("0", odd), None) for odd in ("", "x", "1e3", "nan", "inf", "٣", "3\n3", "1,5", "0x1", None)),
        (DELTA, said("0", "9" * 5_000), None),
        *((DELTA, said(odd, "30"), None) for odd in ("", "x", "0, 5", "nan", "٠", "none", None)),
    ],
)  # fmt: skip
def test_cool_down(declared: RateHeaders, headers: Mapping[str, str], wait_s: float | None) -> None:
    """The cool-down lasts until the reset, which the limiter bounds; there is none for a reset that is over, absurd or
    unreadable.
    """
    assert cool_down_s(headers, declared, now_s=NOW_S) == wait_s


def test_its_names_are_all_that_is_read_of_an_answer() -> None:
    """Only the declared headers are read, in small letters as the client keeps them."""
    assert EPOCH.names == {"x-remaining", "x-reset"}
