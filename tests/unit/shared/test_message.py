import base64
import json
import random
import tracemalloc
import uuid
from decimal import Decimal

import orjson
import pytest
import simplejson
import zstandard

from shared.errors import InvalidRequest, RequestTooLarge, UndecodableMessage
from shared.json_text import MAX_DEPTH, MAX_VALUES, loads
from shared.message import (
    COMPRESS_ABOVE_BYTES,
    MAX_BODY_BYTES,
    MAX_GROWTH,
    MAX_PAYLOAD_BYTES,
    SURELY_READABLE_BYTES,
    Head,
    decode,
    encode,
    head_of,
    to_json,
)
from shared.queue.attributes import attribute_bytes, string_attributes

HEAD = Head("r-1", "event_processing_request", "7", 1_700_000_000_000)


def request_of(events: list[object], **more: object) -> dict[str, object]:
    return {"type": HEAD.type, "id": HEAD.id, "account": {"account_id": 7}, "events": events, **more}


def noise(size: int, seed: int = 1) -> str:
    """Text that compression can not shrink below its entropy: hexadecimal digits."""
    return random.Random(seed).randbytes(size // 2).hex()


def test_small_request_stands_readable_in_the_envelope() -> None:
    """A small request travels as JSON that any SQS console shows."""
    [body] = encode(HEAD, b'{"id":"r-1","amount":10.00}')
    envelope = json.loads(body)
    assert envelope["encoding"] == "json"
    assert envelope["payload"] == {"id": "r-1", "amount": 10.0}
    assert list(envelope) == ["v", "id", "part", "type", "account_id", "received_at_ms", "encoding", "payload"]
    assert '"amount":10.00' in body


def test_large_request_is_compressed() -> None:
    """A request of megabytes travels compressed and comes back equal."""
    request = request_of([{"id": str(n), "name": "page"} for n in range(5_000)])
    payload = to_json(request)
    assert len(payload) > COMPRESS_ABOVE_BYTES
    [body] = encode(HEAD, payload)
    assert json.loads(body)["encoding"] == "zstd"
    assert len(body) < len(payload) / 3
    assert decode(body).payload == request


def test_ten_requests_that_stay_readable_are_one_unit_of_sqs() -> None:
    """What is just not compressed comes in receives of ten that SQS charges as one request, attributes included."""
    padding = COMPRESS_ABOVE_BYTES - len(to_json(request_of([{"blob": ""}])))
    payload = to_json(request_of([{"blob": noise(padding)}]))
    head = Head(str(uuid.UUID(int=1)), HEAD.type, "12345", HEAD.received_at_ms)
    [body] = encode(head, payload)
    assert COMPRESS_ABOVE_BYTES - 1 <= len(payload) <= COMPRESS_ABOVE_BYTES
    assert json.loads(body)["encoding"] == "json"
    attributes = string_attributes({"type": head.type, "account_id": str(head.account_id)})
    assert 10 * (len(body) + sum(attribute_bytes(*one) for one in attributes.items())) <= 65_536


def test_incompressible_request_stays_json() -> None:
    """Compression that does not pay is not used."""
    blob = base64.b64encode(random.Random(1).randbytes(150_000)).decode()
    [body] = encode(HEAD, to_json(request_of([{"blob": blob}])))
    assert json.loads(body)["encoding"] == "json"
    assert decode(body).payload["events"] == [{"blob": blob}]


def test_oversized_request_is_split_in_order_and_nothing_is_lost() -> None:
    """A 6 MB request becomes parts that fit, in order, each event exactly once, notifications only in the first."""
    events = [{"id": str(n), "blob": noise(20_000, n)} for n in range(300)]
    request = request_of(events, system_notifications=[{"type": "gdpr_consent_state"}], mpid="-9")
    bodies = encode(HEAD, to_json(request))
    assert all(len(body.encode()) <= MAX_BODY_BYTES for body in bodies)
    parts = [decode(body) for body in bodies]
    assert [part.part for part in parts] == [f"{n}/{len(parts)}" for n in range(1, len(parts) + 1)]
    assert [event for part in parts for event in part.payload["events"]] == events
    assert [len(part.payload.get("system_notifications", [])) for part in parts] == [1] + [0] * (len(parts) - 1)
    assert all(part.payload["mpid"] == "-9" and part.payload["account"] == {"account_id": 7} for part in parts)
    assert len(parts) <= 5  # hexadecimal noise halves, so 6 MB need at least three


def test_the_same_request_is_split_the_same_way() -> None:
    """mParticle sends a request again: the same parts, the same ids."""
    payload = to_json(request_of([{"id": str(n), "blob": noise(50_000, n)} for n in range(60)]))
    assert encode(HEAD, payload) == encode(HEAD, payload)


def test_split_keeps_numbers_exact() -> None:
    """Numbers that no float can hold come through a split as they were written."""
    number = "12345678901234567890.123456789"
    events = ",".join(f'{{"id":"{n}","total_amount":{number},"blob":"{noise(40_000, n)}"}}' for n in range(60))
    payload = f'{{"type":"{HEAD.type}","session_id":-9223372036854775808,"events":[{events}]}}'.encode()
    parts = [decode(body) for body in encode(HEAD, payload)]
    assert len(parts) > 1
    assert {str(event["total_amount"]) for part in parts for event in part.payload["events"]} == {number}


def test_split_survives_a_lone_surrogate() -> None:
    """Half of a surrogate pair, which JSON can spell, does not stop a split."""
    events = ",".join(f'{{"id":"{n}","name":"\\ud800","blob":"{noise(40_000, n)}"}}' for n in range(60))
    payload = f'{{"type":"{HEAD.type}","amount":1.10,"events":[{events}]}}'.encode()
    parts = [decode(body) for body in encode(HEAD, payload)]
    assert [event["name"] for part in parts for event in part.payload["events"]] == ["\ud800"] * 60
    assert str(parts[0].payload["amount"]) == "1.10"


def test_audience_changes_are_split_on_profiles() -> None:
    """An audience change is split between profiles."""
    head = Head("r-2", "audience_membership_change_request", None, 1)
    profiles = [{"mpid": str(n), "blob": noise(50_000, n)} for n in range(60)]
    parts = [decode(body) for body in encode(head, to_json({"type": head.type, "user_profiles": profiles}))]
    assert len(parts) > 1
    assert [profile for part in parts for profile in part.payload["user_profiles"]] == profiles


def test_single_event_over_the_limit_is_refused_by_name() -> None:
    """One event that fits into no message is refused with its place and without its content."""
    events = [{"id": "small"}, {"id": "big", "blob": noise(4_000_000)}, {"id": "small too"}]
    with pytest.raises(RequestTooLarge) as refused:
        encode(HEAD, to_json(request_of(events)))
    assert refused.value.where == "events[1]"
    assert "big" not in str(refused.value)


def test_request_whose_frame_is_too_large_is_refused() -> None:
    """Splitting can not help when what is beside the events is too large."""
    with pytest.raises(RequestTooLarge, match="without its events"):
        encode(HEAD, to_json(request_of([{"id": "1"}], user_attributes={"blob": noise(4_000_000)})))


def test_erasure_over_the_limit_is_refused() -> None:
    """An erasure request is one subject: there is nothing to split on."""
    head = Head("r-3", "dsr_processing_request", None, 1)
    with pytest.raises(RequestTooLarge, match="can not be split"):
        encode(head, to_json({"type": head.type, "blob": noise(4_000_000)}))


@pytest.mark.parametrize("character", ["\ufffe", "\uffff"])
def test_characters_that_sqs_refuses_are_escaped(character: str) -> None:
    """Two characters that SQS refuses in a body travel as JSON escapes."""
    [body] = encode(HEAD, to_json(request_of([{"name": character}])))
    assert character not in body
    assert decode(body).payload["events"][0]["name"] == character


def test_head_takes_the_request_id_and_account() -> None:
    """The envelope names the request by its own id and the account as text."""
    head = head_of({"type": "t", "id": "r-9", "account": {"account_id": 12}}, b"{}", received_at_ms=5)
    assert head == Head("r-9", "t", "12", 5)


@pytest.mark.parametrize("given", [None, "", 5, "x" * 129, "\ud800", "a\nb"])
def test_request_without_a_usable_id_gets_a_stable_one(given: object) -> None:
    """A request without an id gets one from its content: the same each time it is sent."""
    ids = {head_of({"type": "t", "id": given}, text, received_at_ms=1).id for text in (b"{1}", b"{1}", b"{2}")}
    assert len(ids) == 2


@pytest.mark.parametrize("account", [None, [], {}, {"account_id": True}, {"account_id": None}, {"account_id": "a b"}])
def test_request_without_a_usable_account_has_none(account: object) -> None:
    """An account id that SQS could not carry is left out rather than refused."""
    assert head_of({"type": "t", "account": account}, b"", received_at_ms=1).account_id is None


def test_head_without_type_is_refused() -> None:
    """A request that does not say what it is can not be queued."""
    with pytest.raises(InvalidRequest, match="type"):
        head_of({"type": 5}, b"", received_at_ms=1)


GOOD = json.loads(encode(HEAD, b'{"a":1}')[0])


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        "null",
        json.dumps({**GOOD, "v": 2}),
        json.dumps({**GOOD, "v": None}),
        json.dumps({**GOOD, "encoding": "gzip"}),
        json.dumps({**GOOD, "payload": []}),
        json.dumps({**GOOD, "payload": "x"}),
        json.dumps({**GOOD, "encoding": "zstd", "payload": "not base64!"}),
        json.dumps({**GOOD, "encoding": "zstd", "payload": "aGVsbG8="}),
        json.dumps({**GOOD, "encoding": "zstd", "payload": {}}),
        json.dumps({**GOOD, "received_at_ms": "1"}),
        json.dumps({**GOOD, "id": ""}),
        json.dumps({name: value for name, value in GOOD.items() if name != "type"}),
        "[" * 100_000,
        '{"v":' + "9" * 5_000 + "}",
    ],
)
def test_what_is_not_ours_is_undecodable(body: str) -> None:
    """Any other body raises one error, whatever is wrong with it."""
    with pytest.raises(UndecodableMessage):
        decode(body)


def test_a_request_beside_ingest_is_told_the_way_in() -> None:
    """A request of mParticle's that somebody put on the queue itself has no envelope, and no worker would read it."""
    with pytest.raises(
        UndecodableMessage, match="no Spillway envelope: mParticle's requests are given to ingest"
    ) as told:
        decode('{"type": "event_processing_request", "id": "r-1", "events": []}')
    assert "version" not in str(told.value)


def test_undecodable_error_does_not_quote_the_body() -> None:
    """The error about a bad message holds nothing of it."""
    with pytest.raises(UndecodableMessage) as raised:
        decode('{"v": 1, "canary@example.com')
    assert "canary" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_decoded_numbers_are_exact() -> None:
    """Decoding gives Decimals with their scale and integers of any size."""
    [body] = encode(HEAD, b'{"price":10.00,"session_id":-9223372036854775808,"big":123456789012345678901234567890}')
    payload = decode(body).payload
    assert simplejson.dumps(payload, use_decimal=True, separators=(",", ":")) == (
        '{"price":10.00,"session_id":-9223372036854775808,"big":123456789012345678901234567890}'
    )


def test_to_json_writes_what_orjson_can_not() -> None:
    """Integers over 64 bit, Decimals and lone surrogates are written, not refused."""
    value = simplejson.loads('{"a":123456789012345678901234567890,"b":1.10,"c":"\\ud800"}', use_decimal=True)
    assert to_json(value) == b'{"a":123456789012345678901234567890,"b":1.10,"c":"\\ud800"}'
    assert to_json({"a": 1}) == orjson.dumps({"a": 1})


HUGE = ["1e99999999999999999999", "-1e99999999999999999999", "1e-99999999999999999999", "1E+400", "-0", "-0.0", "0E-9"]
HUGE += ["9" * 5_000, "-" + "9" * 5_000, "0." + "1" * 5_000, "1e" + "9" * 5_000]


@pytest.mark.parametrize("number", HUGE)
def test_any_number_comes_through_as_it_was_spelled(number: str) -> None:
    """What ingest accepts the worker reads: whatever JSON calls a number, in a message of its own or in a part."""
    small = f'{{"type":"{HEAD.type}","x":{number}}}'.encode()
    [body] = encode(HEAD, small)
    assert to_json(decode(body).payload) == small
    for name in ("plain", "\\ud800"):
        events = ",".join(f'{{"x":{number},"name":"{name}","blob":"{noise(40_000, n)}"}}' for n in range(60))
        parts = [decode(body) for body in encode(HEAD, f'{{"y":{number},"events":[{events}]}}'.encode())]
        assert len(parts) > 1
        assert {to_json(part.payload["y"]).decode() for part in parts} == {number}
        assert [to_json(event["x"]).decode() for part in parts for event in part.payload["events"]] == [number] * 60


@pytest.mark.parametrize(
    "field",
    [
        {"id": "x" * 129},
        {"id": "a\nb"},
        {"id": "\ud800"},
        {"id": "\u202e"},
        {"id": 5},
        {"part": "0/1"},
        {"part": "2/1"},
        {"part": "1/10000"},
        {"part": "1/" + "9" * 5_000},
        {"part": "-1/1"},
        {"part": "1"},
        {"part": "١/١"},
        {"part": "1/1\n"},
        {"type": "x" * 129},
        {"type": ["event_processing_request"]},
        {"type": "\x1b[31m"},
        {"account_id": "7" * 2_100},
        {"account_id": "7\x00"},
        {"account_id": "7 8"},
        {"account_id": "\ud800"},
        {"account_id": "é"},
        {"account_id": ""},
        {"account_id": 7},
        {"received_at_ms": int("9" * 400)},
        {"received_at_ms": -1},
        {"received_at_ms": True},
        {"received_at_ms": 1.5},
        {"received_at_ms": 4_102_444_800_001},
    ],
    ids=repr,
)
def test_a_field_that_ingest_can_not_have_written_is_undecodable(field: dict[str, object]) -> None:
    """Each field of the envelope has a bound: it becomes a key, a group, a time."""
    with pytest.raises(UndecodableMessage) as refused:
        decode(json.dumps({**GOOD, **field}))
    assert len(str(refused.value)) < 120


def test_whatever_ingest_calls_a_request_or_an_account_is_read() -> None:
    """The longest and oddest ids that pass ingest pass the worker."""
    longest = Head("ü" * 128, "t" * 128, "~" * 128, 1)
    assert decode(encode(longest, b"{}")[0]).id == longest.id
    for given in ("a b", "#", "%", "é", "x" * 128):
        head = head_of({"type": "t", "id": given, "account": {"account_id": given}}, b"{}", received_at_ms=0)
        message = decode(encode(head, b"{}")[0])
        assert (message.id, message.account_id) == (given, head.account_id)


def packed(frame: bytes) -> str:
    return json.dumps({**GOOD, "encoding": "zstd", "payload": base64.b64encode(frame).decode()})


def test_a_frame_inflates_to_no_more_than_ingest_can_have_written() -> None:
    """8 KiB of zstd that stand for 67 MB cost what 8 KiB cost."""
    bomb = zstandard.ZstdCompressor().compress(b'{"a":"' + b"x" * 67_000_000 + b'"}')
    assert len(bomb) < 10_000
    with pytest.raises(UndecodableMessage, match="size"):
        decode(packed(bomb))
    largest = b'{"a":"' + b"x" * (MAX_PAYLOAD_BYTES - 8) + b'"}'
    assert len(decode(packed(zstandard.ZstdCompressor().compress(largest))).payload["a"]) == MAX_PAYLOAD_BYTES - 8


def frames() -> dict[str, bytes]:
    good = zstandard.ZstdCompressor(level=1).compress(b'{"a":1}')
    streamed = zstandard.ZstdCompressor(level=1).compressobj()
    return {
        "no content size": streamed.compress(b'{"a":1}') + streamed.flush(),
        "two frames": good + good,
        "something behind it": good + b"x",
        "a skippable frame before it": b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + good,
        "cut off": good[:-1],
        "nothing": b"",
        "an empty document": zstandard.ZstdCompressor().compress(b""),
        "less than it says": good[:5] + bytes([good[5] + 1]) + good[6:],
        "NaN": zstandard.ZstdCompressor().compress(b'{"a":NaN}'),
        "a byte order mark": zstandard.ZstdCompressor().compress(b'\xef\xbb\xbf{"a":1}'),
    }


@pytest.mark.parametrize("frame", frames().values(), ids=frames().keys())
def test_a_frame_that_ingest_did_not_write_is_undecodable(frame: bytes) -> None:
    """One whole frame that says its size, and nothing before or behind it."""
    with pytest.raises(UndecodableMessage):
        decode(packed(frame))


@pytest.mark.parametrize("text", ["[" * 1_000_000, "[" + "{}," * 2_000_000 + "{}]", "9" * 3_000_000])
def test_what_is_costly_to_parse_is_refused_before_it_is(text: str) -> None:
    """Neither the depth nor the number of values is found out by building them."""
    tracemalloc.start()
    try:
        with pytest.raises(UndecodableMessage):
            decode(packed(zstandard.ZstdCompressor().compress(f'{{"a":{text}'.encode())))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 * len(text) + 1_000_000


def test_a_message_of_more_values_than_a_worker_reads_is_split() -> None:
    """What would cost the worker its memory travels in parts; no event alone may."""
    one = {"a": [0] * 90_000}
    parts = [decode(body) for body in encode(HEAD, to_json(request_of([one] * 10)))]
    assert [event for part in parts for event in part.payload["events"]] == [one] * 10
    assert len(parts) > 1
    with pytest.raises(RequestTooLarge) as refused:
        encode(HEAD, to_json(request_of([one, {"a": [0] * (MAX_VALUES + 1)}])))
    assert refused.value.where == "events[1]"


def test_what_is_not_counted_has_no_more_values_than_a_worker_reads() -> None:
    """A value takes two characters: the limit below which they are not counted follows from what a worker reads."""
    assert 0 <= 2 * MAX_VALUES - SURELY_READABLE_BYTES < 2


def test_parts_together_are_no_more_than_a_few_times_the_request() -> None:
    """What is beside the events is in each part: where it nearly fills a message, the request is refused."""
    small = [{"id": str(n), "blob": noise(500, n)} for n in range(2_000)]

    def payload(kilobytes: int) -> bytes:
        context = base64.b64encode(random.Random(7).randbytes(kilobytes * 750)).decode()
        return to_json(request_of(small, user_attributes={"blob": context}))

    for kilobytes in (10, 300):
        assert sum(map(len, encode(HEAD, payload(kilobytes)))) <= MAX_GROWTH * len(payload(kilobytes))
    for kilobytes in (1_000, 1_040):
        with pytest.raises(RequestTooLarge, match="beside its events"):
            encode(HEAD, payload(kilobytes))


def test_the_field_that_is_split_on_must_be_a_list() -> None:
    """Whoever asks for the split."""
    with pytest.raises(InvalidRequest, match="events: must be a list"):
        encode(HEAD, to_json({"type": HEAD.type, "events": {"x": noise(4_000_000)}}))


def test_depth_does_not_depend_on_who_calls() -> None:
    """A message at the limit is read from deep within other calls as it is from the top."""
    text = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    deeper = b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"

    def outcome(calls: int) -> tuple[bool, bool]:
        if calls:
            return outcome(calls - 1)
        with pytest.raises(UndecodableMessage, match="nested too deeply"):
            decode(encode(HEAD, deeper)[0])
        return bool(decode(encode(HEAD, text)[0])), True

    assert outcome(0) == outcome(300) == (True, True)


def test_exact_numbers_cost_no_other_way_of_writing() -> None:
    """A Decimal is written as spelled, wherever it stands, and the text around it in UTF-8 as ever."""
    value = loads('{"a":[1.50,{"b":1e3}],"c":-0,"d":"Zoë \\u2028","e":1E-7}')
    assert to_json({**value, "f": Decimal("10.00")}) == (
        '{"a":[1.50,{"b":1e3}],"c":-0,"d":"Zoë \u2028","e":1E-7,"f":10.00}'.encode()
    )
