"""The request as the bytes that mParticle sent.

Lambda's Python runtime turns the payload into Python objects before a handler sees it, and every decimal into a float
on the way: 10.00 becomes 10.0, 12345678901234567890.123 becomes 1.2345678901234567e19. `keep_bytes` makes the runtime
keep the text beside the objects, so that the text is queued as it came, and nothing has to be serialised again. If the
runtime is another one, or has changed, the objects are serialised instead: the same JSON, with floats as exact as a
double.

Requests from either way in are read here. Only requests that a worker can read pass (shared/json_text.py): JSON in
UTF-8, to its last byte, within the same depth and number of values.
"""

import codecs
import json
import sys
from collections.abc import Mapping
from typing import Any, TypeGuard

import orjson

from shared.errors import InvalidRequest, RequestTooLarge
from shared.message import MAX_REQUEST_VALUES


class Request(dict[str, Any]):
    """A parsed request that still has its text."""

    text: bytes = b""


def keep_bytes() -> bool:
    """Hook into the Lambda runtime that runs us, if it is the one we know. Returns whether that worked."""
    runtime = sys.modules.get("awslambdaric.lambda_runtime_marshaller")
    marshaller = getattr(runtime, "LambdaMarshaller", None)
    original = getattr(marshaller, "unmarshal_request", None)
    if marshaller is None or original is None or getattr(original, "keeps_bytes", False):
        return original is not None

    def unmarshal_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(request, bytes | bytearray | str):
            return original(self, request, *args, **kwargs)
        try:
            return read(request.encode("utf-8", "surrogatepass") if isinstance(request, str) else bytes(request))
        except InvalidRequest as error:  # the handler raises it: raised here, it would count as a fault
            return error.with_traceback(None)

    unmarshal_request.keeps_bytes = True  # type: ignore[attr-defined]
    marshaller.unmarshal_request = unmarshal_request
    _write_quickly(marshaller)
    return True


def _write_quickly(marshaller: Any) -> None:
    """Let orjson write the answers: simplejson, to which the runtime passes them, makes an encoder for each."""
    original = getattr(marshaller, "marshal_response", None)
    if original is None:
        return

    def marshal_response(self: Any, response: Any) -> Any:
        try:
            return orjson.dumps(response).decode(), "application/json"
        except TypeError:  # a lone surrogate, a number over 64 bit
            return original(self, response)

    marshaller.marshal_response = marshal_response


def came_by_url(event: object) -> TypeGuard[dict[str, Any]]:
    """Whether the Function URL wrapped the request (payload format 2.0); otherwise the function was invoked with it."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    return isinstance(context, dict) and isinstance(context.get("http"), dict)


def read(text: bytes) -> Any:
    """Parse a request; an object keeps its text. A leading byte order mark is dropped.

    Raises InvalidRequest for a request that a worker could not read.
    """
    text = text.removeprefix(codecs.BOM_UTF8)
    if len(text) > 2 * MAX_REQUEST_VALUES:
        _check_values(text)
    try:
        parsed = orjson.loads(text)
        orjson.dumps(parsed)  # which goes no deeper than a worker reads (MAX_DEPTH), and costs a quarter of reading
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # a lone surrogate, a number that is no double; or no JSON
        from shared.json_text import loads  # noqa: PLC0415 - rarely needed, and not at a cold start

        parsed = loads(text, values=MAX_REQUEST_VALUES)
    if not isinstance(parsed, dict):
        return parsed
    kept = Request(parsed)
    kept.text = text
    return kept


def _check_values(text: bytes) -> None:
    from shared.json_text import check_values  # noqa: PLC0415 - as above

    try:
        check_values(text, MAX_REQUEST_VALUES)
    except InvalidRequest as error:
        raise RequestTooLarge(error.problem) from None


def text_of(request: Mapping[str, Any]) -> bytes:
    """The request's JSON text: as it came where the runtime kept it, else written anew. Raises InvalidRequest."""
    if isinstance(request, Request) and request.text:
        return request.text
    from shared.json_text import check_depth  # noqa: PLC0415 - as above

    check_depth(request)
    try:
        text = json.dumps(request, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, TypeError):
        raise InvalidRequest("holds a number that is not JSON's") from None
    # What UTF-8 has no form for is a lone surrogate, which stands in a string, where JSON spells it the same way.
    return text.encode("utf-8", "backslashreplace")
