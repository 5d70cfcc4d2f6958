import sys
import types
from typing import Any

import pytest

from ingest_fn.payload import Request, keep_bytes, text_of


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> type:
    class LambdaMarshaller:
        def unmarshal_request(self, request: Any, content_type: str = "application/json") -> Any:
            return {"by": "the runtime"}

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


@pytest.mark.parametrize("text", [b"no json", b'{"a":"\\ud800"}', object()])
def test_what_we_can_not_read_is_left_to_the_runtime(runtime: type, text: Any) -> None:
    """The runtime's own reader decides about what ours does not take."""
    keep_bytes()
    assert runtime().unmarshal_request(text) == {"by": "the runtime"}


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
