"""Answers that no partner should give, to the worker, and to ingest for a subscription."""

import asyncio
import gzip
import time
from typing import Any

import pytest

from ingest_fn.partner_call import PartnerCall
from partners import Delivery
from shared.errors import SubscriptionFailed
from shared.partner_http import MAX_ANSWER_BYTES, MAX_HEADER_CHARS
from worker_fn.clients.http import Answer, HttpClient

GIVEN_S = 0.6
OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = OK + b"Content-Length: 2\r\n\r\n{}"
CLOSE = object()


def many(count: int, *pieces: Any) -> list[Any]:
    return list(pieces) * count


HEAD_2 = b"Content-Length: 2\r\n\r\n{}"

WHOLE_ANSWERS: dict[str, list[Any]] = {
    "plain": [WHOLE],
    "no reason": [b"HTTP/1.1 200\r\n" + HEAD_2],
    "line feeds alone": [b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"],
    "HTTP/1.0 until the end": [b"HTTP/1.0 200 OK\r\n\r\n{}", CLOSE],
    "byte by byte": [WHOLE[index : index + 1] for index in range(len(WHOLE))],
    "100": [b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE],
    "102": [b"HTTP/1.1 102 Processing\r\n\r\n", 0.02, WHOLE],
    "103": [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nRetry-After: 9\r\n\r\n", 0.02, WHOLE],
    "199": [b"HTTP/1.1 199 What\r\n\r\n" + WHOLE],
    "several": [b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\n\r\n", 0.02, b"HTTP/1.1 103 E\r\n\r\n" + WHOLE],
    "150 headers": [OK + b"".join(b"X-%d: 1\r\n" % number for number in range(150)) + HEAD_2],
    "a header of 70 KB": [OK + b"X: " + b"a" * 70_000 + b"\r\n" + HEAD_2],
    "a header without a name": [OK + b": x\r\n" + HEAD_2],
    "a length as a list": [OK + b"Content-Length: 2, 2\r\n\r\n{}"],
    "chunks and a length": [OK + b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\n{}\r\n0\r\n\r\n"],
    "trailers": [OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nRetry-After: 5\r\n\r\n"],
    "packed unasked": [OK + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(b"{}"), CLOSE],
}

CUT_ANSWERS: dict[str, list[Any]] = {
    "nothing behind the status line": [b"", CLOSE],
    "cut in a header": [b"X: y", CLOSE],
    "cut behind a header": [b"X: y\r\n", CLOSE],
    "cut in the body": [b"Content-Length: 9\r\n\r\n{}", CLOSE],
    "false gzip": [b"Content-Encoding: gzip\r\n" + HEAD_2],
    "gzip and more": [b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(b"{}") + b"more", CLOSE],
    "a coding that nobody knows": [b"Content-Encoding: foo\r\n" + HEAD_2],
    "six codings": [b"Content-Encoding: gzip,gzip,gzip,gzip,gzip,gzip\r\n" + HEAD_2],
    "6,000 headers": [b"".join(b"X-%d: 1\r\n" % number for number in range(6_000)) + HEAD_2],
    "a header of 200 KB": [b"X: " + b"a" * 200_000 + b"\r\n" + HEAD_2],
    "400 KB of headers": [many(8, b"X: " + b"a" * 50_000 + b"\r\n"), HEAD_2],
    "a line without a colon": [b"rubbish\r\n" + HEAD_2],
    "a folded line at the top": [b" folded\r\n" + HEAD_2],
    "a NUL": [b"X: a\0b\r\n" + HEAD_2],
    "no number of a chunk": [b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"],
    "a chunk without end": [b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n{}"],
    "cut in a chunk": [b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}", CLOSE],
    "a transfer coding that nobody knows": [b"Transfer-Encoding: foo\r\n\r\n{}"],
    "a negative length": [b"Content-Length: -1\r\n\r\n{}"],
    "a length in words": [b"Content-Length: two\r\n\r\n{}"],
    "two lengths": [b"Content-Length: 2\r\nContent-Length: 1\r\n\r\n{}"],
    "headers that drip": many(200, b"X: y\r\n", 0.02),
    "a header that drips": many(200, b"X", 0.02),
    "a body that drips": [b"Content-Length: 900\r\n\r\n", *many(200, b"x", 0.02)],
    "a body that stops": [b"Content-Length: 9\r\n\r\n{}", 5],
}

NO_ANSWERS: dict[str, list[Any]] = {
    "nothing": [CLOSE],
    "silence": [5],
    "cut in the status line": [b"HTTP/1.1 20", CLOSE],
    "a status line without its end": [b"HTTP/1.1 200 OK", CLOSE],
    "a status line that drips": [b"HTTP/1.1 200 ", *many(200, b"x", 0.02)],
    "100 for ever": many(200, b"HTTP/1.1 100 Continue\r\n\r\n", 0.02),
    "103, then nothing": [b"HTTP/1.1 103 E\r\n\r\n", CLOSE],
    "103, then silence": [b"HTTP/1.1 103 E\r\n\r\n", 5],
    "101": [b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n" + WHOLE],
    "a page without a head": [b"<html>hello</html>", CLOSE],
    "two digits": [b"HTTP/1.1 20 OK\r\n" + HEAD_2],
    "four digits": [b"HTTP/1.1 2000 OK\r\n" + HEAD_2],
    "099": [b"HTTP/1.1 099 OK\r\n" + HEAD_2],
    "a negative status": [b"HTTP/1.1 -200 OK\r\n" + HEAD_2],
    "another protocol": [b"ICY 200 OK\r\n" + HEAD_2],
    "rubbish first": [b"rubbish\r\n" + WHOLE],
}


def scripted(raw: Any, pieces: list[Any]) -> list[Any]:
    flat = [one for piece in pieces for one in (piece if isinstance(piece, list) else [piece])]
    return [raw.CLOSE if piece is CLOSE else piece for piece in flat]


def odd_first(raw: Any, pieces: list[Any]) -> None:
    """The first call is answered with these pieces, later ones with 299."""
    said = scripted(raw, pieces)
    next_ones = [b"HTTP/1.1 299 Next\r\nContent-Length: 4\r\n\r\nnext"]
    raw.answer = lambda number: said if number == 1 else next_ones


def worker_calls(url: str, count: int = 2, *, pause_s: float = 0.05, **options: Any) -> list[Answer]:
    """Calls one after the other, over one client."""

    async def calls() -> list[Answer]:
        answers = []
        async with HttpClient(**{"max_in_flight": 4, "connect_timeout_s": GIVEN_S, **options}) as client:
            for number in range(count):
                answers.append(await client.send(Delivery(url, b"{}", "e"), f"k{number}", GIVEN_S))
                await asyncio.sleep(pause_s)
        return answers

    return asyncio.run(calls())


def subscription_call(url: str) -> Any:
    return PartnerCall(("r-1",), time.monotonic() + GIVEN_S)(Delivery(url, b"{}", "e"))


@pytest.mark.parametrize("name", WHOLE_ANSWERS)
def test_the_final_answer_is_taken_and_the_next_call_gets_its_own(raw_partner: Any, name: str) -> None:
    """Interim answers are skipped, odd but readable answers are read, and the next call gets its own answer."""
    odd_first(raw_partner, WHOLE_ANSWERS[name])
    first, second = worker_calls(raw_partner.url)
    assert (first.status, first.body, first.is_whole) == (200, b"{}", True)
    assert first.retry_after is None, "an interim answer's, or a trailer's"
    assert (second.status, second.body) == (299, b"next")


@pytest.mark.parametrize("name", WHOLE_ANSWERS)
def test_a_subscription_takes_the_final_answer(raw_partner: Any, name: str) -> None:
    """A subscription skips interim answers, as the worker does."""
    odd_first(raw_partner, WHOLE_ANSWERS[name])
    answer = subscription_call(raw_partner.url)
    assert (answer.status, answer.body) == (200, b"{}")


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize("name", CUT_ANSWERS)
def test_a_status_line_that_was_read_is_the_answer(raw_partner: Any, name: str, status: int) -> None:
    """The status line decides whatever follows it; the next call goes over another connection and gets its own
    answer.
    """
    odd_first(raw_partner, [b"HTTP/1.1 %d What\r\n" % status, *CUT_ANSWERS[name]])
    first, second = worker_calls(raw_partner.url)
    assert (first.status, first.fault) == (status, None)
    assert not first.is_whole
    assert (second.status, second.body) == (299, b"next")


@pytest.mark.parametrize("name", CUT_ANSWERS)
def test_a_status_line_answers_a_subscription(raw_partner: Any, name: str) -> None:
    """The status line decides for a subscription as for a delivery."""
    odd_first(raw_partner, [OK, *CUT_ANSWERS[name]])
    assert subscription_call(raw_partner.url).status == 200


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_no_final_status_is_no_answer(raw_partner: Any, name: str) -> None:
    """Without a final status the call ends in time, and the next call has its own connection and answer."""
    odd_first(raw_partner, NO_ANSWERS[name])
    first, second = worker_calls(raw_partner.url)
    assert first.status is None
    assert first.fault in {"timeout", "connection"}
    assert (second.status, second.body) == (299, b"next")
    assert len(set(raw_partner.ports)) == 2


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_no_final_status_is_no_answer_to_a_subscription(raw_partner: Any, name: str) -> None:
    """Without a final status a subscription ends with an error, so that mParticle sends it again."""
    odd_first(raw_partner, NO_ANSWERS[name])
    with pytest.raises(SubscriptionFailed, match=r"no answer|in time"):
        subscription_call(raw_partner.url)


@pytest.mark.parametrize(
    "rest",
    [
        [b"HTTP/1.1 418 Unasked\r\nContent-Length: 0\r\n\r\n"],
        [0.02, b"HTTP/1.1 418 Unasked\r\nContent-Length: 0\r\n\r\n"],
        [0.02, b"HTTP/1.1 103 Early\r\n\r\n"],
        [0.02, b"\r\n"],
        [0.02, b"rubbish"],
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        WHOLE,
        OK + b"Content-Length: 1\r\n\r\n{",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_what_nobody_asked_for_is_nobodys_answer(raw_partner: Any, answer: bytes, rest: list[Any]) -> None:
    """Bytes on an idle connection are not read as an answer: the next call goes over a new connection."""
    said, own = [answer, *rest], [b"HTTP/1.1 299 Own\r\nContent-Length: 0\r\n\r\n"]
    raw_partner.answer = lambda number: own if number % 2 == 0 else said
    answers = worker_calls(raw_partner.url, 4, pause_s=0.1)
    assert [one.status for one in answers[1::2]] == [299, 299]
    assert raw_partner.ports[0] != raw_partner.ports[1]


@pytest.mark.parametrize("packed", [False, True])
def test_an_endless_answer_is_cut_at_the_bound(raw_partner: Any, packed: bool) -> None:
    """An answer over the bound is cut, even if it is small on the wire, so memory is bounded."""
    body = b"x" * (20 * MAX_ANSWER_BYTES)
    head = OK + b"Content-Encoding: gzip\r\n" if packed else OK
    odd_first(raw_partner, [head + b"\r\n" + (gzip.compress(body) if packed else body)])
    first, second = worker_calls(raw_partner.url)
    assert (first.status, len(first.body), first.is_whole) == (200, MAX_ANSWER_BYTES, False)
    assert second.status == 299


def test_headers_that_were_asked_for_are_kept_and_bounded(raw_partner: Any) -> None:
    """Only the declared headers, Date and Retry-After are kept; a repeated one is joined to a list, and none is
    long.
    """
    head = (
        b"X-RateLimit-Remaining: 7\r\nx-ratelimit-remaining: 3\r\nSet-Cookie: a=b\r\nDate: today\r\nRetry-After: 9\r\n"
    )
    long = b"X-Long: " + b"a" * 9_000 + b"\r\n"
    raw_partner.answer = lambda _: [b"HTTP/1.1 429 Slow\r\n" + head + long + HEAD_2]
    kept = frozenset({"x-ratelimit-remaining", "x-long"})
    [answer] = worker_calls(raw_partner.url, 1, keep_headers=kept)
    assert answer.headers == {
        "x-ratelimit-remaining": "7, 3",
        "x-long": "a" * MAX_HEADER_CHARS,
        "date": "today",
        "retry-after": "9",
    }
    [answer] = worker_calls(raw_partner.url, 1)
    assert answer.headers.keys() == {"date", "retry-after"}
