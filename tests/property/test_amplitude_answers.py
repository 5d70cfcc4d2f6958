"""Whatever Amplitude answers, every event of the call has one meaning, or the status decides for all."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from partners import Delivery, Result
from partners.amplitude import AFTER, BEFORE, TOO_FAST, USERS, WRONG, Amplitude

places = st.one_of(st.integers(-2, 6), st.booleans(), st.none(), st.text(max_size=2), st.floats())
some_json = st.recursive(
    st.one_of(places, st.sampled_from(["u1", "u2", "d1"])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)
names = st.sampled_from([*WRONG, "throttled_events", *(f"{why}_{kind}s" for why in TOO_FAST for kind in USERS)])
found = st.one_of(
    some_json,
    st.lists(places, max_size=5),
    st.dictionaries(st.sampled_from(["time", "u1", "u2", "d1"]), st.one_of(places, st.lists(places, max_size=5))),
)
answers = st.one_of(some_json, st.dictionaries(st.one_of(names, st.just("error")), found, max_size=5))


def deliveries(count: int) -> list[Delivery]:
    return [
        Delivery(
            "https://amplitude.example",
            BEFORE + json.dumps({"user_id": f"u{place % 3}", "device_id": "d1"}).encode() + AFTER,
            f"e{place}",
            merge="batch",
        )
        for place in range(count)
    ]


@given(status=st.sampled_from([200, 400, 413, 429, 500]), answer=answers, count=st.integers(1, 5))
def test_every_event_is_judged(status: int, answer: Any, count: int) -> None:
    """As many results as events, within what the status allows, and somebody to blame among them."""
    found = Amplitude().read_response(deliveries(count), status, json.dumps(answer).encode())
    if found is None:
        return
    assert status in {400, 429}
    assert len(found) == count
    assert set(found) != {Result.AGAIN}
    assert Result.DELIVERED not in found
    assert status == 400 or set(found) <= {Result.RETRY, Result.AGAIN}
