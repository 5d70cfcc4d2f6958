import gc
from typing import Any

import pytest

from shared import http11
from shared.http11 import AWS_BODY_BYTES, AWS_HEAD_BYTES, Connection, Garbled

OK = b"HTTP/1.1 200 OK\r\nX-Amzn-RequestId: 7\r\nContent-Length: 2\r\n\r\n{}"


class Socket:
    """Gives pieces one after the other; at their end the other side has closed."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces, self.sent = list(pieces), b""
        self.early = list[bytes]()  # what is there before it is waited for
        self.most_sent = 1_000_000
        self.timeout_s: float | None = 1.0

    def send(self, content: bytes) -> int:
        self.sent += content[: self.most_sent]
        return min(len(content), self.most_sent)

    def sendall(self, content: bytes) -> None:
        self.sent += content

    def gettimeout(self) -> float | None:
        return self.timeout_s

    def settimeout(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s

    def setblocking(self, blocking: bool) -> None:
        self.timeout_s = None if blocking else 0.0

    def recv(self, most: int) -> bytes:
        if self.timeout_s == 0:
            if not self.early:
                raise BlockingIOError
            return self.early.pop(0)
        assert len(self.pieces[0]) <= most if self.pieces else True
        return self.pieces.pop(0) if self.pieces else b""


def connection(*pieces: bytes) -> Connection:
    made: Any = Socket(*pieces)
    return Connection(made, lambda: made.early)


def test_a_request_is_one_post_with_its_length() -> None:
    """Headers as they are given, the length, an empty line, the body."""
    wire: Any = Socket(OK)
    assert Connection(wire, lambda: wire.early).post({"host": "sqs", "x-amz-target": "t"}, b'{"a":1}') == (200, b"{}")
    assert wire.sent == b'POST / HTTP/1.1\r\nhost: sqs\r\nx-amz-target: t\r\ncontent-length: 7\r\n\r\n{"a":1}'


ANSWERS = {
    "length": OK,
    "any-case": OK.replace(b"Content-Length", b"cOnTENT-lENGTH"),
    "no-reason": OK.replace(b"200 OK", b"200"),
    "hints-first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </>; rel=preload\r\n\r\n" + OK,
    "hints-with-body": b"HTTP/1.1 199 More\r\nContent-Length: 4\r\n\r\nabcd" + OK,
    "hints-with-length": b"HTTP/1.1 102 Processing\r\nContent-Length: 9\r\n\r\n" + OK,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n01\r\n}\r\n0\r\nTrailer: 1\r\n\r\n",
    "odd-extensions": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;=;a=;b="\\";"\r\n{}\r\n0;c\r\n\r\n',
    "zeros-before-a-size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"0" * 40
    + b"2\r\n{}\r\n000\r\n\r\n",
    "zeros-before-a-length": OK.replace(b": 2", b": " + b"0" * 40 + b"2"),
    "tabs": OK.replace(b": 2", b":\t2\t "),
    "no-blank": OK.replace(b": 2", b":2"),
    "no-ascii": OK.replace(b"OK", "Ö\0".encode()).replace(b": 7", ": Ö".encode()),
    "upgrade-is-offered": OK.replace(b": 7", b": 7\r\nConnection: upgrade\r\nUpgrade: h2c"),
    "spaces": b'HTTP/1.1 200 OK\r\nTransfer-Encoding:  Chunked \r\n\r\n2  \r\n{}\r\n0 ;x="y"\r\n\r\n',
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_read_however_it_is_cut(answer: bytes) -> None:
    """At every place, and byte by byte: the network cuts where it likes. The connection takes the next call."""
    cuts = [(answer[:at], answer[at:]) for at in range(1, len(answer))]
    for pieces in [(answer,), *cuts, [bytes([byte]) for byte in answer]]:
        one = connection(*pieces)
        assert one.post({}, b"") == (200, b"{}")
        assert one.is_kept


def test_answers_follow_each_other_on_a_kept_connection() -> None:
    """Each call has its own answer, whatever its size."""
    large = b"x" * 200_000
    pieces = [OK[:30], OK[30:], b"HTTP/1.1 500 No\r\nContent-Length: 200000\r\n\r\n"]
    one = connection(*pieces, *(large[at : at + 65_536] for at in range(0, len(large), 65_536)), OK)
    assert [one.post({}, b"") for _ in range(3)] == [(200, b"{}"), (500, large), (200, b"{}")]


@pytest.mark.parametrize("came", [b"H", b""], ids=["an-answer", "an-end"])
def test_what_came_between_two_calls_answers_none(came: bytes) -> None:
    """A second answer to the first call, or a server's farewell: nothing is sent, and another connection is opened."""
    wire: Any = Socket(OK, OK)
    one = Connection(wire, lambda: wire.early)
    one.post({}, b"first")
    wire.early = [came]
    with pytest.raises(OSError, match="before its call" if came else "closed between"):
        one.post({}, b"second")
    assert b"second" not in wire.sent


def test_what_is_no_answer_may_come_between_two_calls() -> None:
    """TLS's own, such as a ticket: there is something to read, and nothing in it."""
    wire: Any = Socket(OK, OK)
    one = Connection(wire, lambda: True)
    assert [one.post({}, b"") for _ in range(2)] == [(200, b"{}")] * 2


def test_a_kept_connection_is_not_read_without_need() -> None:
    """A look whether something has come is one call of the system, a read and its refusal through TLS are many."""
    wire: Any = Socket(OK, OK)
    one = Connection(wire, lambda: False)
    wire.setblocking = lambda _: pytest.fail("a read that does not wait")
    assert [one.post({}, b"") for _ in range(2)] == [(200, b"{}")] * 2


def test_a_request_that_is_taken_in_pieces_is_sent_to_its_end() -> None:
    """A socket may take less than it is given."""
    wire: Any = Socket(OK)
    wire.most_sent = 10
    Connection(wire, lambda: wire.early).post({"host": "sqs"}, b'{"a":1}')
    assert wire.sent == b'POST / HTTP/1.1\r\nhost: sqs\r\ncontent-length: 7\r\n\r\n{"a":1}'


def test_a_wait_is_bounded_after_a_look_at_a_kept_connection() -> None:
    """The time-out of the call stands as it was set."""
    wire: Any = Socket(OK, OK)
    one = Connection(wire, lambda: wire.early)
    assert [one.post({}, b"") for _ in range(2)] == [(200, b"{}")] * 2
    assert wire.timeout_s == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        OK + b"HTTP/1.1 200 OK\r\n",
        OK + OK,
        OK + b"{}",
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + OK,
    ],
    ids=["said", "old", "more-than-the-answer", "two-answers", "longer-than-said", "said-and-more"],
)
def test_a_connection_that_ends_is_not_kept(answer: bytes) -> None:
    """The answer counts; what comes behind it is never taken for the answer to the next call."""
    one = connection(answer)
    assert one.post({}, b"") == (200, b"{}")
    assert not one.is_kept


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_is_cut_off_is_none(answer: bytes) -> None:
    """Wherever the other end closed: half an answer confirms nothing."""
    for at in range(len(answer)):
        with pytest.raises(ConnectionResetError):
            connection(answer[:at] if at else b"").post({}, b"")


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"

GARBLED = {
    "no-http": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "http2": b"HTTP/2 200\r\nContent-Length: 2\r\n\r\n{}",
    "http2-in-text": OK.replace(b"HTTP/1.1", b"HTTP/2.0"),
    "http09": OK.replace(b"HTTP/1.1", b"HTTP/0.9"),
    "no-field": OK.replace(b"X-Amzn-RequestId: 7", b"hello"),
    "folded": OK.replace(b": 2", b": 2\r\n 3"),
    "lines-of-unix": OK.replace(b"\r\n", b"\n"),
    "no-status": b"HTTP/1.1 OK\r\n\r\n",
    "no-length": b"HTTP/1.1 200 OK\r\n\r\n{}",
    "negative": OK.replace(b": 2", b": -2"),
    "no-number": OK.replace(b": 2", b": 2, 2"),
    "huge": OK.replace(b": 2", b": %d" % (AWS_BODY_BYTES + 1)),
    "many-digits": OK.replace(b": 2", b": " + b"9" * 5_000),
    "length-twice": OK.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"),
    "length-and-chunks": OK.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "hints-alone-have-length": b"HTTP/1.1 102 Processing\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}",
    "another-protocol": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + OK,
    "gzip": OK.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: gzip\r\n\r\n"),
    "long-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "odd-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n{}\r\n0\r\n\r\n",
    # another protocol, or something before the answer
    "rtsp": OK.replace(b"HTTP/1.1", b"RTSP/1.0"),
    "ice": OK.replace(b"HTTP/1.1", b"ICE/1.0"),
    "icy": OK.replace(b"HTTP/1.1", b"ICY"),
    "small-http": OK.replace(b"HTTP", b"http"),
    "version-1.10": OK.replace(b"1.1", b"1.10"),
    "line-before": b"\r\n" + OK,
    "unix-line-before": b"\n" + OK,
    "blank-before": b" " + OK,
    "mark-before": b"\xef\xbb\xbf" + OK,
    "request": b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    # a status that is none
    "status-000": OK.replace(b"200", b"000"),
    "status-099-goes-by": b"HTTP/1.1 099 No\r\n\r\n" + OK,
    "status-of-four-digits": OK.replace(b"200", b"2000"),
    "status-of-two-digits": OK.replace(b"200", b"20"),
    "status-negative": OK.replace(b"200", b"-200"),
    "status-and-reason-in-one": OK.replace(b"200 OK", b"200OK"),
    "status-after-two-blanks": OK.replace(b" 200", b"  200"),
    "status-after-a-return": OK.replace(b"200 OK", b"500 No\r200 OK"),
    # returns and line feeds alone
    "return-in-a-field": OK.replace(b": 7", b": 7\r8"),
    "return-hides-a-length": OK.replace(b": 7", b": 7\rContent-Length: 9"),
    "return-twice": OK.replace(b"\r\n", b"\r\r\n"),
    "returns-alone": OK.replace(b"\r\n", b"\r"),
    "line-feed-hides-a-length": OK.replace(b": 7", b": 7\nContent-Length: 9"),
    "line-feed-after-the-status": OK.replace(b"OK\r\n", b"OK\n"),
    "line-feed-after-the-length": OK.replace(b": 2\r\n", b": 2\n"),
    "line-feed-ends-the-head": OK.replace(b"\r\n\r\n", b"\r\n\n"),
    "line-feed-after-a-size": CHUNKS.replace(b"2\r\n", b"2\n"),
    "return-after-a-size": CHUNKS.replace(b"2\r\n", b"2\r"),
    "line-feed-after-a-chunk": CHUNKS.replace(b"{}\r\n", b"{}\n"),
    "line-feed-ends-the-chunks": CHUNKS.replace(b"0\r\n\r\n", b"0\r\n\n"),
    # folded lines, blanks before a colon, characters that no field has
    "folded-by-a-tab": OK.replace(b": 7", b": 7\r\n\t8"),
    "folded-length": OK.replace(b": 2", b":\r\n 2"),
    "folded-coding": CHUNKS.replace(b": chunked", b":\r\n chunked"),
    "folded-to-nothing": OK.replace(b": 7", b": 7\r\n "),
    "fold-hides-a-length": OK.replace(b": 7", b": 7\r\n Content-Length: 9"),
    "fold-before-the-first": OK.replace(b"X-Amzn", b" X-Amzn"),
    "blank-before-a-colon": OK.replace(b"Length:", b"Length :"),
    "tab-before-a-colon": OK.replace(b"Length:", b"Length\t:"),
    "blank-before-another-colon": OK.replace(b"Id:", b"Id :"),
    "blank-before-the-codings-colon": CHUNKS.replace(b"g:", b"g :"),
    "blank-in-a-name": OK.replace(b"t-L", b"t L"),
    "nul-in-a-name": OK.replace(b"Id:", b"I\0d:"),
    "nul-in-a-value": OK.replace(b": 7", b": \0"),
    "control-in-a-value": OK.replace(b": 7", b": \x01"),
    "no-name": OK.replace(b"X-Amzn-RequestId", b""),
    # a length that is none
    "length-thrice": OK.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\n"),
    "length-twice-the-same": OK.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n"),
    "length-with-a-sign": OK.replace(b": 2", b": +2"),
    "length-in-hexadecimal": OK.replace(b": 2", b": 0x2"),
    "length-of-two-words": OK.replace(b": 2", b": 2 2"),
    "length-of-nothing": OK.replace(b": 2", b": "),
    "length-with-a-point": OK.replace(b": 2", b": 2.0"),
    "length-as-python-has-it": OK.replace(b": 2", b": 0_2"),
    "length-in-other-digits": OK.replace(b": 2", ": ٢".encode()),
    "length-in-quotes": OK.replace(b": 2", b': "2"'),
    "length-with-more": OK.replace(b": 2", b": 2;a"),
    "length-after-an-odd-blank": OK.replace(b": 2", b": \x0b2"),
    "length-that-wraps": OK.replace(b": 2", b": 18446744073709551618"),
    "length-by-another-name": OK.replace(b"Content-", b"Content_"),
    # a coding that is not chunks, and once, and alone
    "chunks-and-length": CHUNKS.replace(b"\r\n\r\n2", b"\r\nContent-Length: 12\r\n\r\n2"),
    "length-and-identity": OK.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: identity\r\n\r\n"),
    "length-and-no-coding": OK.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding:\r\n\r\n"),
    "chunks-twice": CHUNKS.replace(b"\r\nT", b"\r\nTransfer-Encoding: chunked\r\nT"),
    "chunks-of-chunks": CHUNKS.replace(b": chunked", b": chunked, chunked"),
    "gzip-in-chunks": CHUNKS.replace(b": chunked", b": gzip, chunked"),
    "gzip-then-chunks": CHUNKS.replace(b"\r\nT", b"\r\nTransfer-Encoding: gzip\r\nT"),
    "chunks-then-gzip": CHUNKS.replace(b"d\r\n", b"d\r\nTransfer-Encoding: gzip\r\n"),
    "identity-then-chunks": CHUNKS.replace(b"\r\nT", b"\r\nTransfer-Encoding: identity\r\nT"),
    "chunks-then-identity": CHUNKS.replace(b"d\r\n", b"d\r\nTransfer-Encoding: identity\r\n"),
    "like-chunks": CHUNKS.replace(b": chunked", b": xchunked"),
    "chunks-with-more": CHUNKS.replace(b": chunked", b": chunked;q=1"),
    "chunks-in-quotes": CHUNKS.replace(b": chunked", b': "chunked"'),
    "chunks-in-a-list": CHUNKS.replace(b": chunked", b": chunked,"),
    "chunks-after-an-odd-blank": CHUNKS.replace(b": chunked", b": \x0bchunked"),
    "chunks-of-old": CHUNKS.replace(b"HTTP/1.1", b"HTTP/1.0"),
    # chunks that are none
    "size-with-a-sign": CHUNKS.replace(b"2\r\n", b"+2\r\n"),
    "size-negative": CHUNKS.replace(b"2\r\n", b"-2\r\n"),
    "size-with-a-prefix": CHUNKS.replace(b"2\r\n", b"0x2\r\n"),
    "size-after-a-blank": CHUNKS.replace(b"2\r\n", b" 2\r\n"),
    "size-of-two-words": CHUNKS.replace(b"2\r\n", b"2 2\r\n"),
    "size-of-nothing": CHUNKS.replace(b"2\r\n", b"\r\n"),
    "size-that-wraps": CHUNKS.replace(b"2\r\n", b"10000000000000002\r\n"),
    "chunk-too-short": CHUNKS.replace(b"2\r\n", b"3\r\n"),
    "chunk-without-an-end": CHUNKS.replace(b"{}\r\n", b"{}"),
    "extension-without-a-name": CHUNKS.replace(b"2\r\n", b"2;\r\n"),
    "extension-after-a-comma": CHUNKS.replace(b"2\r\n", b"2,a\r\n"),
    "extension-after-a-blank": CHUNKS.replace(b"2\r\n", b"2; a\r\n"),
    "extension-with-an-open-quote": CHUNKS.replace(b"2\r\n", b'2;a="b\r\n'),
    "extension-with-a-nul": CHUNKS.replace(b"2\r\n", b"2;a=\0\r\n"),
    "extension-with-a-line-feed": CHUNKS.replace(b"2\r\n", b"2;a\nff\r\n"),
    "extension-with-a-return": CHUNKS.replace(b"2\r\n", b"2;a\rff\r\n"),
    "length-after-the-chunks": CHUNKS.replace(b"0\r\n", b"0\r\nContent-Length: 2\r\n"),
    "coding-after-the-chunks": CHUNKS.replace(b"0\r\n", b"0\r\nTransfer-Encoding: chunked\r\n"),
    "no-field-after-the-chunks": CHUNKS.replace(b"0\r\n", b"0\r\nHTTP/1.1 500 No\r\n"),
    "folded-after-the-chunks": CHUNKS.replace(b"0\r\n", b"0\r\nA: b\r\n c\r\n"),
}


@pytest.mark.parametrize("answer", GARBLED.values(), ids=GARBLED)
def test_what_is_no_answer_is_an_error(answer: bytes) -> None:
    """It raises what a broken connection raises, however it is cut, and never waits for more."""
    for pieces in [(answer,), [bytes([byte]) for byte in answer]]:
        with pytest.raises(Garbled):
            connection(*pieces).post({}, b"")


@pytest.mark.parametrize("status", [204, 205, 304, 404, 599, 600, 999])
def test_no_other_status_is_a_success(status: int) -> None:
    """Nor one that has no body, where what follows its head would be the next answer."""
    one = connection(OK.replace(b"200", str(status).encode()))
    assert one.post({}, b"") == (status, b"" if status in {204, 304} else b"{}")
    assert one.is_kept is (status not in {204, 304})


@pytest.mark.parametrize("answer", [OK + b"\r\n", CHUNKS + b"\r\n\n"], ids=["length", "chunks"])
def test_empty_lines_behind_an_answer_are_no_part_of_the_next(answer: bytes) -> None:
    """They came with it, so that nothing is there between the calls."""
    one = connection(answer, OK)
    assert [one.post({}, b"") for _ in range(2)] == [(200, b"{}")] * 2


def test_a_head_without_an_end_is_bounded() -> None:
    """Whoever sends headers for ever is not read for ever."""
    wire: Any = Socket(b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n" * 10_000] * 100)
    with pytest.raises(Garbled):
        Connection(wire, lambda: wire.early).post({}, b"")
    assert len(wire.pieces) > 90
    assert AWS_HEAD_BYTES < 100_000


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (CHUNKED + b"ffffffff\r\n", b"x" * 60_000),
        (CHUNKED, b"1\r\nx\r\n" * 10_000),
        (CHUNKED + b"0\r\n", b"X: y\r\n" * 10_000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2_400),
    ],
    ids=["a-chunk", "chunks", "trailers", "hints"],
)
def test_an_answer_without_an_end_is_bounded(start: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is whoever sends anything else of an answer for ever."""
    monkeypatch.setattr(http11, "AWS_BODY_BYTES", 200_000)
    wire: Any = Socket(start or piece, *[piece] * 100)
    with pytest.raises(Garbled):
        Connection(wire, lambda: wire.early).post({}, b"")
    assert len(wire.pieces) > 90


def test_a_call_leaves_nothing_to_be_searched_for() -> None:
    """Ingest hardly ever looks for garbage: what a call needs is gone when it is over."""
    one = connection(*[OK] * 3)
    one.post({}, b"")
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        one.post({}, b"")
        one.post({}, b"")
        gc.collect()
        left = [
            found for found in gc.garbage if type(found).__module__ == Connection.__module__
        ]  # other tests leave more
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert left == []
