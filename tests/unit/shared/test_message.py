import base64
import json
import random

import orjson
import pytest
import simplejson

from shared.errors import InvalidRequest, RequestTooLarge, UndecodableMessage
from shared.message import COMPRESS_ABOVE_BYTES, MAX_BODY_BYTES, Head, decode, encode, head_of, to_json

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
    """A request over one billing unit travels compressed and comes back equal."""
    request = request_of([{"id": str(n), "name": "page"} for n in range(5_000)])
    payload = to_json(request)
    assert len(payload) > COMPRESS_ABOVE_BYTES
    [body] = encode(HEAD, payload)
    assert json.loads(body)["encoding"] == "zstd"
    assert len(body) < len(payload) / 3
    assert decode(body).payload == request


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
