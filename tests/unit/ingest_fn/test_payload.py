import json
import sys
import types
from typing import Any

import pytest

from ingest_fn.payload import Request, keep_bytes, read, text_of
from shared.errors import InvalidRequest, RequestTooLarge
from shared.json_text import MAX_DEPTH, loads
from shared.message import MAX_REQUEST_VALUES


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> type:
    class LambdaMarshaller:
        def unmarshal_request(self, request: Any, content_type: str = "application/json") -> Any:
            return {"by": "the runtime"}

        def marshal_response(self, response: Any) -> tuple[str, str]:
            return "by the runtime", "application/json"

    module = types.SimpleNamespace(LambdaMarshaller=LambdaMarshaller)
    monkeypatch.setitem(sys.modules, "awslambdaric.lambda_runtime_marshaller", module)
    return LambdaMarshaller


@pytest.mark.parametrize("text", [b'{"amount": 10.00}', '{"amount": 10.00}'])
def test_runtime_keeps_the_text(runtime: type, text: bytes | str) -> None:
    """What mParticle sent is at hand as bytes, beside the objects."""
    assert keep_bytes()
    request = runtime().unmarshal_request(text, "application/json")
    assert request == {"amount": 10.0}
    assert text_of(request) == b'{"amount": 10.00}'


def test_hook_is_set_once(runtime: type) -> None:
    """Setting the hook twice does not stack it."""
    assert keep_bytes()
    hooked = runtime.unmarshal_request  # type: ignore[attr-defined]
    assert keep_bytes()
    assert runtime.unmarshal_request is hooked  # type: ignore[attr-defined]


def test_an_answer_is_written_as_json(runtime: type) -> None:
    """In the runtime's place, as the same objects."""
    keep_bytes()
    answer = {"type": "event_processing_response", "id": "é", "timestamp_ms": 1_700_000_000_000, "none": [None, True]}
    text, content_type = runtime().marshal_response(answer)
    assert (json.loads(text), content_type) == (answer, "application/json")


@pytest.mark.parametrize("answer", [{"id": "\ud800"}, {"n": 2**70}, {1: 2}, b"bytes"], ids=ascii)
def test_an_answer_that_orjson_does_not_write_is_the_runtimes(runtime: type, answer: object) -> None:
    """A lone surrogate, a number over 64 bit, and what is no JSON."""
    keep_bytes()
    assert runtime().marshal_response(answer) == ("by the runtime", "application/json")


def test_a_runtime_that_writes_otherwise_is_left_alone(runtime: type) -> None:
    """Requests keep their text all the same."""
    del runtime.marshal_response  # type: ignore[attr-defined]
    assert keep_bytes()
    assert not hasattr(runtime, "marshal_response")


def test_what_is_no_text_is_left_to_the_runtime(runtime: type) -> None:
    """The runtime's own reader decides about what is neither bytes nor text."""
    keep_bytes()
    assert runtime().unmarshal_request(object()) == {"by": "the runtime"}


@pytest.mark.parametrize(
    "text",
    [b"no json", b"", b'{"a":NaN}', b'{"a":1} x', '{"a":1}'.encode("utf-16"), b"[" * 100_000, b'"\xff"', "\ud800"],
)
def test_what_a_worker_could_not_read_is_handed_on_as_an_error(runtime: type, text: bytes | str) -> None:
    """The handler gets the error in place of the request, and raises, logs and counts it as any other."""
    keep_bytes()
    assert isinstance(runtime().unmarshal_request(text), InvalidRequest)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":"\\ud800"}',
        b'{"a":1e99999999999999999999}',
        b'{"a":1e-99999999999999999999}',
        b'{"a":-1E+400}',
        b'{"a":-0}',
        b'{"a":' + b"9" * 5_000 + b"}",
        b'{"a":0.' + b"9" * 5_000 + b"}",
    ],
)
def test_what_orjson_can_not_hold_is_read_all_the_same(runtime: type, text: bytes) -> None:
    """Half a surrogate pair and numbers that are no double keep their text."""
    keep_bytes()
    assert text_of(runtime().unmarshal_request(text)) == text


def test_a_byte_order_mark_is_left_away(runtime: type) -> None:
    """By invocation as by the Function URL: in the middle of a message nobody could read it."""
    keep_bytes()
    assert text_of(runtime().unmarshal_request(b'\xef\xbb\xbf{"a":1}')) == b'{"a":1}'


@pytest.mark.parametrize("opener", ["[", '{"a":'])
def test_both_ends_agree_how_deep_a_request_may_be(opener: str) -> None:
    """The limit that orjson has when it writes is the one that the worker counts: neither reads what the other does
    not."""
    closer = "]" if opener == "[" else "}"

    def nested(levels: int) -> bytes:
        return (opener * (levels - 1) + "{}" + closer * (levels - 1)).encode()

    assert read(nested(MAX_DEPTH)) == loads(nested(MAX_DEPTH))
    for reader in (read, loads):
        with pytest.raises(InvalidRequest, match="nested too deeply"):
            reader(nested(MAX_DEPTH + 1))


def test_a_request_of_too_many_values_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three million empty objects in 6 MB would take half a gigabyte; commas in a text are no values."""
    with pytest.raises(RequestTooLarge, match="values"):
        read(b'{"a":[' + b"{}," * MAX_REQUEST_VALUES + b"{}]}")
    assert read(b'{"a":"' + b"," * 3 * MAX_REQUEST_VALUES + b'"}')


def test_other_payloads_pass_unchanged(runtime: type) -> None:
    """A payload that is no object has no text to keep."""
    keep_bytes()
    assert runtime().unmarshal_request(b"[1]") == [1]


def test_unknown_runtime_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the runtime that we know there is nothing to hook."""
    monkeypatch.setitem(sys.modules, "awslambdaric.lambda_runtime_marshaller", types.SimpleNamespace())
    assert keep_bytes() is False


def test_without_text_the_objects_are_written() -> None:
    """Under another runtime the parsed request is serialised."""
    assert text_of({"a": 10.0}) == b'{"a":10.0}'
    assert text_of(Request({"a": 1})) == b'{"a":1}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_objects_that_are_no_json_are_refused(value: object) -> None:
    """Under another runtime NaN and Infinity arrive as objects: no reader of ours would take them."""
    with pytest.raises(InvalidRequest):
        text_of({"a": value})


def test_objects_that_are_nested_too_deeply_are_refused() -> None:
    """However deep the call stack allows."""
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH):
        deep = {"a": deep}
    with pytest.raises(InvalidRequest, match="nested"):
        text_of(deep)


def test_a_lone_surrogate_is_written_as_an_escape() -> None:
    """Beside characters that have a form in UTF-8, which stay as they are."""
    assert text_of({"a": "é\ud800"}) == '{"a":"é\\ud800"}'.encode()
