"""The request as the bytes that mParticle sent.

Lambda's Python runtime turns the payload into Python objects before a handler sees it, and every decimal into a float
on the way: 10.00 becomes 10.0, 12345678901234567890.123 becomes 1.2345678901234567e19. `keep_bytes` makes the runtime
keep the text beside the objects, so that what is queued is what came, and nothing has to be serialised again. Where
the runtime is another one, or has changed, the objects are serialised instead: the same JSON, with floats as exact as
a double.
"""

import codecs
import json
import sys
from collections.abc import Mapping
from typing import Any, NoReturn, TypeGuard

import orjson

from shared.errors import InvalidRequest
from shared.message import to_json


class Request(dict[str, Any]):
    """A parsed request that still has its text."""

    text: bytes = b""


def keep_bytes() -> bool:
    """Hook into the Lambda runtime that runs us, if it is the one we know. True if it did."""
    runtime = sys.modules.get("awslambdaric.lambda_runtime_marshaller")
    marshaller = getattr(runtime, "LambdaMarshaller", None)
    original = getattr(marshaller, "unmarshal_request", None)
    if marshaller is None or original is None or getattr(original, "keeps_bytes", False):
        return original is not None

    def unmarshal_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        text = request.encode() if isinstance(request, str) else request
        try:
            parsed = orjson.loads(text)
        except (orjson.JSONDecodeError, TypeError):  # a lone surrogate, or no JSON: the runtime knows what to say
            parsed = original(self, request, *args, **kwargs)
        if not isinstance(parsed, dict) or not isinstance(text, bytes | bytearray):
            return parsed
        kept = Request(parsed)
        kept.text = bytes(text)
        return kept

    unmarshal_request.keeps_bytes = True  # type: ignore[attr-defined]
    marshaller.unmarshal_request = unmarshal_request
    return True


def came_by_url(event: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether Lambda wrapped the request (payload format 2.0), rather than somebody invoked the function with it."""
    context = event.get("requestContext") if isinstance(event, Mapping) else None
    return isinstance(context, Mapping) and isinstance(context.get("http"), Mapping)


def read(text: bytes) -> Any:
    """Parse what came by HTTP, where nobody has checked yet that it is JSON; an object keeps its text.

    Raises InvalidRequest.
    """
    text = text.removeprefix(codecs.BOM_UTF8)
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:  # a lone surrogate, or no JSON
        try:
            parsed = json.loads(text.decode(), parse_constant=_refuse)
        except (ValueError, RecursionError):
            raise InvalidRequest("the request must be JSON in UTF-8") from None
    if not isinstance(parsed, dict):
        return parsed
    kept = Request(parsed)
    kept.text = text
    return kept


def _refuse(_: str) -> NoReturn:
    raise ValueError  # NaN and Infinity, which Python reads and JSON has not


def text_of(request: Mapping[str, Any]) -> bytes:
    """The request's JSON text: as it came where the runtime kept it, else written anew."""
    return (isinstance(request, Request) and request.text) or to_json(request)
