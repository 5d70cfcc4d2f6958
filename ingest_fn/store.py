"""Reads one text from SSM or Secrets Manager, by ingest's own signed HTTP (docs/adr/0005)."""

from shared.aws_http import AwsHttp, error_code
from shared.stored import Reference, Unreadable, request_for, text_in

READ_TIMEOUT_S = 0.3
READ_ATTEMPTS = 2


def read(store: AwsHttp, reference: Reference) -> str:
    """Return the text. Raises Unreadable, which says why in a few words."""
    target, body = request_for(reference)
    for attempt in range(1, READ_ATTEMPTS + 1):
        status, answer, problem = _call(store, target, body)
        if status == 200:
            value = text_in(reference, answer)
            if value is None:
                raise Unreadable("what is kept there is no text")
            return value
        if attempt == READ_ATTEMPTS or (400 <= status < 500 and "Throttl" not in problem):
            raise Unreadable(problem)
    raise AssertionError  # the last attempt returned or raised


def _call(store: AwsHttp, target: str, body: bytes) -> tuple[int, bytes, str]:
    """Make the call; returns status, answer and problem; status 0 without an answer."""
    try:
        status, answer = store.call(target, body, timeout_s=READ_TIMEOUT_S)
    except OSError as error:
        return 0, b"", type(error).__name__
    return status, answer, error_code(answer) or str(status)
