import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from ops.local.partner_api import Behaviour, LoopbackPartner, Reply, serve


class Caller:
    """One kept-alive connection to the partner."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self.connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=10)

    def post(self, event_id: str, **headers: str) -> http.client.HTTPResponse:
        body = json.dumps({"event": {"id": event_id, "type": "custom_event"}, "context": {"mpid": "1"}})
        return self.send(body.encode(), **headers)

    def send(self, body: bytes, **headers: str) -> http.client.HTTPResponse:
        self.connection.request("POST", self._address.path, body, headers)
        answer = self.connection.getresponse()
        answer.read()
        return answer


Start = Callable[[LoopbackPartner], Caller]
Serve = Callable[[LoopbackPartner], str]


@pytest.fixture
def served() -> Iterator[Serve]:
    """Serves partner APIs for the length of a test."""
    with ExitStack() as stack:
        yield lambda api: stack.enter_context(serve(api))


@pytest.fixture
def start(served: Serve) -> Iterator[Start]:
    """Serves a partner API and connects to it."""
    with ExitStack() as stack:

        def connect(api: LoopbackPartner) -> Caller:
            caller = Caller(served(api))
            stack.callback(caller.connection.close)
            return caller

        yield connect


def test_events_arrive_over_one_connection(start: Start) -> None:
    """A kept-alive connection carries call after call, and the ledger has each event."""
    api = LoopbackPartner(Behaviour())
    caller = start(api)
    assert caller.post("a").status == 200
    kept = caller.connection.sock
    assert [caller.post(event_id).status for event_id in ("b", "a")] == [200, 200]
    assert caller.connection.sock is kept
    assert (api.ledger.delivered, api.ledger.duplicates) == (2, 1)


def test_the_answer_waits_for_the_latency(start: Start) -> None:
    """Every answer, refusals included, comes after the partner's latency."""
    caller = start(LoopbackPartner(Behaviour(latency_ms=80, rate_per_s=0.001, burst=1)))
    for expected in (200, 429):
        began_s = time.monotonic()
        assert caller.post("a").status == expected
        assert time.monotonic() - began_s >= 0.08


def test_slow_calls_are_slow_side_by_side(served: Serve) -> None:
    """The second call is taken while the first still waits for its answer."""
    taken = threading.Semaphore(0)

    class Watched(LoopbackPartner):
        def judge(self, *call: str | None) -> Reply:
            taken.release()
            return super().judge(*call)

    api = Watched(Behaviour(latency_ms=60_000))
    address = urlsplit(served(api))
    with ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(
                socket.create_connection((address.hostname or "", address.port or 0), timeout=10)
            )
            client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
            assert taken.acquire(timeout=10)


def test_above_the_rate_comes_429_with_retry_after(start: Start) -> None:
    """On an injected clock a call above the rate is refused at once, and accepted when the clock has moved on."""
    now_s = [0.0]
    api = LoopbackPartner(Behaviour(rate_per_s=0.5, burst=2), clock=lambda: now_s[0])
    caller = start(api)
    answers = [caller.post(f"{number}") for number in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == "2"
    now_s[0] += 2
    assert caller.post("2").status == 200
    assert (api.ledger.delivered, len(api.ledger.refused_s)) == (3, 1)


def test_an_outage_answers_503_and_ends(start: Start) -> None:
    """During the window nothing is delivered; after it everything is."""
    now_s = [0.0]
    api = LoopbackPartner(Behaviour(outages=((10, 20),)), clock=lambda: now_s[0])
    caller = start(api)
    seen = []
    for now_s[0] in (9.0, 10.0, 19.9, 20.0):
        seen.append(caller.post("a").status)
    assert seen == [200, 503, 503, 200]
    assert (api.ledger.delivered, len(api.ledger.failed_s)) == (1, 2)


def test_failures_are_500_and_deliver_nothing(start: Start) -> None:
    """A failed call leaves no event behind."""
    api = LoopbackPartner(Behaviour(failure_rate=1.0))
    assert start(api).post("a").status == 500
    assert api.ledger.delivered == 0


def test_the_token_is_checked(start: Start) -> None:
    """Only the right bearer token is let in."""
    caller = start(LoopbackPartner(Behaviour(token="key")))
    assert [caller.post("a").status, caller.post("a", Authorization="Bearer key").status] == [401, 200]


def test_every_call_is_booked_with_its_answer(start: Start) -> None:
    """The ledger has each call's time, answer, time of the answer, and account."""
    api = LoopbackPartner(Behaviour(latency_ms=20, answers={"b": 400}))
    caller = start(api)
    caller.post("a")
    caller.send(b'{"event":{"id":"b"},"context":{"account":{"account_id":7}}}')
    assert [(call.status, call.account_id) for call in api.ledger.calls] == [(200, None), (400, "7")]
    assert all(call.answered_s - call.at_s >= 0.02 for call in api.ledger.calls)


def test_a_body_without_an_event_counts_by_itself(start: Start) -> None:
    """Profiles and erasures are accepted; a body that is not a JSON object is not."""
    api = LoopbackPartner(Behaviour())
    caller = start(api)
    bodies = [b'{"user_profile":{}}', b'{"event":{"id":7}}', b"[]", b"{", b""]
    assert [caller.send(body).status for body in bodies] == [200, 200, 400, 400, 400]
    assert (api.ledger.delivered, api.ledger.others, api.ledger.malformed) == (0, 2, 3)


def test_a_request_in_small_pieces_is_put_together(served: Serve) -> None:
    """Requests are read correctly wherever TCP cuts the bytes, and two requests in one piece are two."""
    api = LoopbackPartner(Behaviour())
    address = urlsplit(served(api))
    body = b'{"event":{"id":"a"}}'
    whole = b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in whole:
            client.sendall(bytes([byte]))
        client.sendall(whole + whole)
        answered = b""
        while answered.count(b"HTTP/1.1 200 OK") < 3:
            answered += client.recv(4096)
    assert (api.ledger.delivered, api.ledger.duplicates) == (1, 2)


def test_a_chunked_body_is_refused(served: Serve) -> None:
    """A chunked body is refused, because the server reads bodies by Content-Length only."""
    address = urlsplit(served(LoopbackPartner(Behaviour())))
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as client:
        client.sendall(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 411 ")


def test_work_that_was_done_counts_though_nobody_listens(served: Serve) -> None:
    """A call whose caller hangs up counts as delivered: this is how duplicates arise."""
    accepted = threading.Event()

    class Watched(LoopbackPartner):
        def accept(self, event_id: str | None) -> None:
            super().accept(event_id)
            accepted.set()

    api = Watched(Behaviour(latency_ms=50))
    address = urlsplit(served(api))
    body = b'{"event":{"id":"a"}}'
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    assert accepted.wait(10)
    assert api.ledger.delivered == 1


def partner_threads() -> set[threading.Thread]:
    """The threads of all running partner APIs, including those of other tests."""
    return {thread for thread in threading.enumerate() if thread.name == "partner-api"}


def test_it_ends_with_connections_open() -> None:
    """When the block ends, the port is closed, open connections are cut, and the thread has ended."""
    before = partner_threads()
    came = threading.Event()

    class Watched(LoopbackPartner):
        def judge(self, *call: Any) -> Any:
            came.set()
            return super().judge(*call)

    with serve(Watched(Behaviour(latency_ms=60_000))) as url:
        address = urlsplit(url)
        client = socket.create_connection((address.hostname or "", address.port or 0), timeout=10)
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        assert came.wait(10)
    with client, suppress(ConnectionResetError):
        assert client.recv(10) == b""
    assert partner_threads() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname or "", address.port or 0), timeout=10).close()


def test_a_port_in_use_is_said_at_once() -> None:
    """If the port is in use, the caller gets the OSError, and no thread is left."""
    before = partner_threads()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"), serve(LoopbackPartner(Behaviour()), port=port):
            pass
    assert partner_threads() == before
