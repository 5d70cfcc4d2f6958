import tracemalloc
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.partner_http import MAX_HEAD_BYTES, is_for_later, request_of

LINES = ("X: y", "Host: evil", "GET / HTTP/1.1")


@given(
    st.text(max_size=40) | st.sampled_from(["POST", "GET"]),
    st.text(max_size=60).map(lambda text: f"https://partner.example/{text}") | st.text(max_size=60),
    st.dictionaries(st.text(max_size=20) | st.just("X-A"), st.text(max_size=60), max_size=4),
)
def test_what_may_leave_is_one_head(method: str, url: str, headers: dict[str, str]) -> None:
    """Whatever a partner's code makes of foreign text: it is refused, or it adds no line and changes no host."""
    try:
        request = request_of(method, url, headers, b"")
    except ValueError:
        return
    assert request.method.isascii()
    assert request.method.isprintable()
    assert " " not in request.method
    assert request.url.isascii()
    assert request.url.isprintable()
    assert " " not in request.url
    assert request.url.startswith(("http://", "https://"))
    for line in request.headers:
        assert not set(b"\r\n\0") & set(line)
    if url.startswith("https://partner.example/"):
        assert request.url.startswith("https://partner.example/")


def test_names_of_headers_have_no_case() -> None:
    """Of two that are the same the last one goes out, once."""
    request = request_of("POST", "https://partner.example", {"User-Agent": "a", "user-agent": "b"}, b"")
    assert [line for line in request.headers if line.lower().startswith(b"user-agent")] == [b"user-agent: b"]


def test_what_may_succeed_later_is_told_from_what_never_will() -> None:
    """408, 425, 429 and every 5xx: for the worker's retries and for what ingest answers of a subscription."""
    assert [status for status in range(100, 700) if is_for_later(status)] == [408, 425, 429, *range(500, 700)]


def test_long_urls_are_not_kept() -> None:
    """A partner may put a user's text into them: of a hundred calls nothing is left."""
    tracemalloc.start()
    try:
        for number in range(100):
            request_of("GET", f"https://partner.example/{number}/{'x' * 100_000}", {}, b"")
        urlsplit.cache_clear()  # type: ignore[attr-defined]
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


def test_a_url_that_no_server_takes_is_refused() -> None:
    """Before it is looked at."""
    with pytest.raises(ValueError, match="too long"):
        request_of("GET", "https://partner.example/" + "x" * MAX_HEAD_BYTES, {}, b"")
