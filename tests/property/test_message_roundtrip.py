"""Whatever mParticle sends, encode and decode give back every event exactly once, in order."""

import json
from typing import Any

import simplejson
from hypothesis import event, given, settings
from hypothesis import strategies as st

from shared import message
from shared.json_text import loads
from shared.message import AUDIENCE, EVENTS, Head, decode, encode

# Text of JSON numbers and strings, built as text: what Python would make of a value must not hide a loss.
numbers = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=9).map(lambda d: format(d, "f")),
    st.sampled_from(
        ["10.00", "1e3", "1E-7", "-0", "0.1", "12345678901234567890.123456789", "1e99999999999999999999", "9" * 5_000]
    ),
)
strings = st.text(st.characters(codec=None, exclude_categories=[]), max_size=20).map(json.dumps)
raw_strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(
    lambda s: json.dumps(s, ensure_ascii=False)
)
leaves = st.one_of(numbers, strings, raw_strings, st.sampled_from(["null", "true", "false"]))


def array(items: list[str]) -> str:
    return "[" + ",".join(items) + "]"


def mapping(items: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in dict(items).items()) + "}"


values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(array), st.lists(st.tuples(strings, inner), max_size=4).map(mapping)
    ),
    max_leaves=12,
)


def exact(text: str) -> Any:
    return loads(text)


@settings(max_examples=150)
@given(
    kind=st.sampled_from([(EVENTS, "events"), (AUDIENCE, "user_profiles")]),
    items=st.lists(values, min_size=1, max_size=60),
    limit=st.integers(350, 900),
    compress_above=st.sampled_from([64, 300, 10_000]),
)
def test_every_item_comes_back_once_and_in_order(
    kind: tuple[str, str], items: list[str], limit: int, compress_above: int
) -> None:
    """For any items, limit and compression: the parts' items in order are the request's, number for number."""
    name, field = kind
    text = f'{{"type":"{name}","mpid":"-5","{field}":{array(items)},"system_notifications":[1]}}'
    before = message.MAX_BODY_BYTES, message.COMPRESS_ABOVE_BYTES, message.MAX_GROWTH
    # At these sizes an envelope is most of a part, so how much the parts may grow together is left out.
    message.MAX_BODY_BYTES, message.COMPRESS_ABOVE_BYTES, message.MAX_GROWTH = limit, compress_above, 1_000
    try:
        bodies = encode(Head("r", name, "7", 1), text.encode("utf-8", "surrogatepass"))
    except message.RequestTooLarge as error:
        too_large = error.where
    else:
        too_large = None
    finally:
        message.MAX_BODY_BYTES, message.COMPRESS_ABOVE_BYTES, message.MAX_GROWTH = before
    if too_large is not None:  # only a single item that does not fit by itself may be refused, and it is named
        assert too_large.startswith(f"{field}[")
        alone = items[int(too_large[len(field) + 1 : -1])]
        assert len(text.encode("utf-8", "surrogatepass")) > limit - 200
        assert len(alone.encode("utf-8", "surrogatepass")) > limit - 350
        return
    parts = [decode(body) for body in bodies]
    event(f"{min(len(parts), 4)} parts")
    assert all(len(body.encode()) <= limit for body in bodies)
    assert [part.part for part in parts] == [f"{n}/{len(parts)}" for n in range(1, len(parts) + 1)]
    assert simplejson.dumps([item for part in parts for item in part.payload[field]], use_decimal=True) == (
        simplejson.dumps(exact(array(items)), use_decimal=True)
    )
    assert [part.payload.get("system_notifications") for part in parts] == [[1]] + [None] * (len(parts) - 1)
    assert {part.payload["mpid"] for part in parts} == {"-5"}
