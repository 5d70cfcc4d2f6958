import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

from ops.local.mparticle import Ended, Invocation, MParticle, Parcel

ARN = "arn:aws:lambda:us-east-1:000000000000:function:ingest:production"
ANSWER = b'{"type":"event_processing_response"}'

Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Lambda:
    """The Invoke API of an AWS that answers by script."""

    url: str
    reply: Callable[[bytes], Reply]
    paths: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    connections: int = 0


@contextmanager
def lambda_api(reply: Callable[[bytes], Reply], *, chunked: bool = False) -> Iterator[Lambda]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            api.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            api.paths.append(unquote(self.path))
            api.authorizations.append(self.headers["Authorization"])
            status, headers, payload = api.reply(body)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if chunked:
                self.send_header("Transfer-Encoding", "chunked")
                payload = b"".join(b"1\r\n%c\r\n" % byte for byte in payload) + b"0\r\n\r\n"
            else:
                self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api = Lambda(f"http://127.0.0.1:{server.server_port}", reply)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def invoke(api: Lambda, *bodies: bytes, **settings: int) -> list[Invocation]:
    """Invoke one request after the other, over kept connections."""

    async def run() -> list[Invocation]:
        async with MParticle(api.url, ARN, region="us-east-1", **settings) as mparticle:
            return [await mparticle.invoke(Parcel(body)) for body in bodies]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ((200, {}, ANSWER), Ended.ACCEPTED),
        ((429, {"x-amzn-ErrorType": "TooManyRequestsException"}, b"{}"), Ended.THROTTLED),
        ((200, {"X-Amz-Function-Error": "Unhandled"}, b'{"errorMessage":"x"}'), Ended.FAILED),
        ((403, {}, b"{}"), Ended.FAILED),
        ((500, {}, b"{}"), Ended.FAILED),
        ((0, {}, b""), Ended.FAILED),
    ],
)
def test_each_answer_has_its_outcome(reply: Reply, outcome: Ended) -> None:
    """A throttle counts differently from a failure, and a function's error from success; no answer raises."""
    with lambda_api(lambda _: reply) as api:
        (invocation,) = invoke(api, b"{}")
    assert invocation.outcome is outcome
    assert invocation.status == reply[0]


def test_nothing_is_sent_twice() -> None:
    """A throttled request is one attempt: retries would hide how many were throttled."""
    with lambda_api(lambda _: (429, {}, b"{}")) as api:
        invoke(api, b"1", b"2", b"3")
    assert len(api.paths) == 3


def test_it_invokes_the_alias_from_mparticles_account() -> None:
    """The path has the ARN; the access key is the account id, by which the embedded AWS knows the caller."""
    with lambda_api(lambda _: (200, {}, ANSWER)) as api:
        (invocation,) = invoke(api, b'{"a":1}')
    assert api.paths == [f"/2015-03-31/functions/{ARN}/invocations"]
    assert "Credential=338661164609/" in api.authorizations[0]
    assert "/us-east-1/lambda/" in api.authorizations[0]
    assert invocation.payload == ANSWER


def test_connections_are_kept() -> None:
    """Requests one after the other share a connection."""
    with lambda_api(lambda _: (200, {}, ANSWER)) as api:
        invoke(api, *[b"{}"] * 5)
    assert api.connections == 1


def test_a_connection_that_rested_is_replaced() -> None:
    """A connection that was idle for seconds is not used again, because the server may be closing it."""
    now_s = [0.0]

    async def run(api: Lambda) -> list[Invocation]:
        async with MParticle(api.url, ARN, region="us-east-1", clock=lambda: now_s[0]) as mparticle:
            first = await mparticle.invoke(Parcel(b"{}"))
            now_s[0] += 60
            return [first, await mparticle.invoke(Parcel(b"{}"))]

    with lambda_api(lambda _: (200, {}, ANSWER)) as api:
        invocations = asyncio.run(run(api))
    assert [one.outcome for one in invocations] == [Ended.ACCEPTED] * 2
    assert api.connections == 2


def test_a_chunked_answer_is_put_together() -> None:
    """Servers that do not know the length beforehand send chunks."""
    with lambda_api(lambda _: (200, {}, ANSWER), chunked=True) as api:
        first, second = invoke(api, b"{}", b"{}")
    assert first.payload == second.payload == ANSWER


def test_nobody_there_is_a_failure_not_a_crash() -> None:
    """A refused connection is counted as failed."""
    with lambda_api(lambda _: (200, {}, ANSWER)) as api:
        pass
    (invocation,) = invoke(api, b"{}")
    assert (invocation.outcome, invocation.status) == (Ended.FAILED, 0)


def test_a_spike_does_not_wait_for_answers() -> None:
    """All requests are under way together, although none is answered before the last has come."""
    everybody_is_here = threading.Barrier(5, timeout=20)

    def reply(_: bytes) -> Reply:
        everybody_is_here.wait()
        return 200, {}, ANSWER

    async def run(api: Lambda) -> list[Invocation]:
        booked: list[Invocation] = []
        async with MParticle(api.url, ARN, region="us-east-1") as mparticle:
            await mparticle.spike(
                [Parcel(b"{}", (f"{n}",)) for n in range(5)], [0.0, 0.0, 0.01, 0.01, 0.02], booked.append
            )
            assert mparticle.in_flight == 0
        return booked

    with lambda_api(reply) as api:
        booked = asyncio.run(run(api))
    assert sorted(one.parcel.event_ids[0] for one in booked) == list("01234")
    assert {one.outcome for one in booked} == {Ended.ACCEPTED}


def test_no_more_than_its_connections_are_under_way() -> None:
    """The bound holds however many requests are due."""
    here, most, lock = [0], [0], threading.Lock()

    def reply(_: bytes) -> Reply:
        with lock:
            here[0] += 1
            most[0] = max(most[0], here[0])
        with lock:
            here[0] -= 1
        return 200, {}, ANSWER

    async def run(api: Lambda) -> None:
        async with MParticle(api.url, ARN, region="us-east-1", connections=2) as mparticle:
            await mparticle.spike([Parcel(b"{}")] * 20, [0.0] * 20, lambda _: None)

    with lambda_api(reply) as api:
        asyncio.run(run(api))
    assert most[0] <= 2
    assert api.connections <= 2
