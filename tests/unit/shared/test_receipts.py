import json

import pytest

from shared.receipts import Receipt, Standing, receipt_key, subject_of


def test_a_receipt_is_read_as_it_was_written() -> None:
    """What is in the table says all of it; what a later version adds is passed over."""
    receipt = Receipt("s-1", "r-1", "7", 1_000, dead_lettered_ms=2_000, reason="too_old")
    written = json.loads(json.dumps({**receipt.value(), "new": 1}))
    assert Receipt.from_value(receipt_key("s-1"), "r-1", written) == receipt


@pytest.mark.parametrize(
    ("request_", "subject"),
    [
        ({"subject_request_id": "s-1"}, "s-1"),
        ({}, "r-1"),
        ({"subject_request_id": None}, "r-1"),
        ({"subject_request_id": 5}, "r-1"),
        ({"subject_request_id": ""}, "r-1"),
        ({"subject_request_id": "x" * 1_000}, "r-1"),
        ({"subject_request_id": "a\nb"}, "r-1"),
    ],
)
def test_a_request_without_a_usable_id_goes_by_our_own(request_: dict[str, object], subject: str) -> None:
    """Every erasure has a receipt, whatever its request says."""
    assert subject_of(request_, "r-1") == subject


@pytest.mark.parametrize(
    ("times", "standing"),
    [
        ({}, Standing.OPEN),
        ({"delivered_ms": 2}, Standing.DELIVERED),
        ({"dead_lettered_ms": 2}, Standing.DEAD_LETTERED),
        ({"no_call_ms": 2}, Standing.NOT_FORWARDED),
        ({"dead_lettered_ms": 2, "redriven_ms": 3}, Standing.OPEN),
        ({"dead_lettered_ms": 4, "redriven_ms": 3}, Standing.DEAD_LETTERED),
        ({"dead_lettered_ms": 4, "delivered_ms": 5}, Standing.DELIVERED),
    ],
)
def test_standing_is_where_the_request_is_now(times: dict[str, int], standing: Standing) -> None:
    """Delivered once is delivered; a dead letter that came back is on its way again."""
    assert Receipt("s", "r", None, 1, **times).standing is standing
