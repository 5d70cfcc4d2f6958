"""Connections that are kept, dead, silent, frozen, given up or closed."""

import asyncio
import gc
import os
import socket
import threading
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pycurl
import pytest

from partners import Delivery
from shared.partner_http import Exchange
from tests.integration.worker_fn.clients.calls import send
from worker_fn.clients import kept_connections
from worker_fn.clients.freezes import BEAT_S, STILL_S
from worker_fn.clients.http import FROZEN, Answer, HttpClient
from worker_fn.clients.kept_connections import IDLE_S

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("death", ["FIN", "RST", "RST once the call is there", "FIN once the call is there"])
def test_a_kept_connection_that_died_is_nobodys_fault(client: Any, raw_partner: Any, death: str) -> None:
    """However many kept connections have died, the call is made on a new one and gets its answer."""
    end = raw_partner.RESET if death.startswith("RST") else raw_partner.CLOSE
    waits = threading.Event()

    def answer(number: int) -> list[Any]:
        if number <= 8:  # those that are to be kept
            return [0.2, OK] if "once" in death else [0.2, OK, end]
        return [OK] if raw_partner.ports[-1] not in raw_partner.ports[:8] else [end]

    raw_partner.answer = answer
    http = client(max_in_flight=8)

    async def at_once(count: int) -> list[Answer]:
        calls = [http.http.send(Delivery(raw_partner.url, b"{}", "e"), f"k{n}", 5.0) for n in range(count)]
        return await asyncio.gather(*calls)

    assert [one.status for one in http.run(at_once(8))] == [200] * 8
    waits.wait(0.05)
    assert [(one.status, one.fault) for one in http.run(at_once(8))] == [(200, None)] * 8


def test_a_connection_that_swallows_what_is_sent_is_given_up(client: Any, raw_partner: Any) -> None:
    """If nothing is acknowledged on a connection, because something between has forgotten it, a new one is made in
    time.
    """
    raw_partner.answer = lambda number: [OK, raw_partner.SWALLOW] if number == 1 else [OK]
    http = client(connect_timeout_s=0.3)
    assert send(http, raw_partner.url).status == 200
    threading.Event().wait(0.05)  # the filter is set behind the answer
    assert send(http, raw_partner.url, timeout_s=20.0).status == 200
    assert len(set(raw_partner.ports)) == 2


def test_a_partner_that_is_slow_on_a_kept_connection_is_a_fault(client: Any, raw_partner: Any) -> None:
    """If the partner acknowledged the call, it is not sent twice."""
    raw_partner.answer = lambda number: [OK] if number == 1 else [5]
    http = client(connect_timeout_s=0.2)
    send(http, raw_partner.url)
    assert send(http, raw_partner.url, timeout_s=0.8).fault == "timeout"
    assert len(raw_partner.heads) == 2


def test_a_new_connection_that_breaks_is_a_fault(client: Any, raw_partner: Any) -> None:
    """A call on a new connection that breaks is sent once, because nobody knows whether the partner took it."""
    raw_partner.answer = lambda _: [raw_partner.RESET]
    assert send(client(), raw_partner.url).fault == "connection"
    assert len(raw_partner.heads) == 1


def test_what_was_idle_for_long_is_not_used_again(client: Any, raw_partner: Any) -> None:
    """A connection that was idle for long by the wall clock is not used again; that clock goes on while the environment
    is frozen.
    """
    wall_s = 1_000.0
    http = client(wall_clock=lambda: wall_s)
    for pause_s in (0, IDLE_S - 1, IDLE_S + 1, IDLE_S - 1, -5):
        wall_s += pause_s
        assert send(http, raw_partner.url).status == 200
    first, second, third, fourth, fifth = raw_partner.ports
    assert first == second != third == fourth != fifth


@pytest.mark.parametrize("clock", ["clock", "wall_clock"])
def test_a_call_that_was_frozen_is_nobodys_fault(client: Any, raw_partner: Any, clock: str) -> None:
    """Whichever clock went on during a freeze, a time-out does not count against the partner, and an answer that came
    counts.
    """
    now_s = 1_000.0
    http = client(**{clock: lambda: now_s})
    raw_partner.answer = lambda number: [5] if number == 1 else [0.3, OK]

    async def frozen(still_s: float) -> Answer:
        nonlocal now_s
        call = asyncio.create_task(http.http.send(Delivery(raw_partner.url, b"{}", "e"), "k", 0.6))
        await asyncio.sleep(0.1)
        now_s += still_s
        return await call

    assert http.run(frozen(BEAT_S + STILL_S + 0.1)).fault == FROZEN
    assert http.run(frozen(60)).status == 200
    raw_partner.answer = lambda _: [5]
    assert http.run(frozen(0.1)).fault == "timeout"


def test_a_loop_that_stands_still_is_no_time_out(client: Any, raw_partner: Any) -> None:
    """A process that stood still could not read an answer, so the call does not count as timed out."""
    raw_partner.answer = lambda _: [5]
    http = client()

    async def call() -> Answer:
        sending = asyncio.create_task(http.http.send(Delivery(raw_partner.url, b"{}", "e"), "k", 0.3))
        await asyncio.sleep(0.1)
        threading.Event().wait(BEAT_S + STILL_S + 0.2)
        return await sending

    assert http.run(call()).fault == FROZEN


def test_a_partner_that_never_accepts_is_given_up(client: Any) -> None:
    """A partner that refuses connections or does not react is given up at the end of the time for connecting."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        assert send(client(connect_timeout_s=0.3), url, timeout_s=60).fault == "timeout"
        for one in waiting:
            one.close()


def test_a_name_that_nobody_knows_is_a_fault(client: Any) -> None:
    """An unknown host name counts as a partner that is not there."""
    assert send(client(connect_timeout_s=5), "http://partner.invalid").fault in {"connection", "timeout"}


def test_calls_that_are_given_up_leave_the_others_their_place(client: Any, raw_partner: Any, partner: Any) -> None:
    """After ten calls at once to a partner that does not answer, again and again, their sockets are closed and another
    partner is served.
    """
    raw_partner.answer = lambda _: [b"HTTP/1.1 2", 5]
    http = client(max_in_flight=10)

    async def at_once() -> list[Answer]:
        return await asyncio.gather(
            *(http.http.send(Delivery(raw_partner.url, b"{}", "e"), f"k{n}", 0.1) for n in range(10))
        )

    for _ in range(3):
        assert {one.fault for one in http.run(at_once())} == {"timeout"}
        assert send(http, partner.url).status == 200
    assert open_to(raw_partner) == 0


def open_to(partner: Any) -> int:
    """The number of connections to a partner that were not closed on the client's side."""
    port = f":{urlsplit(partner.url).port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(port) and row[3] in {"01", "08"} for row in rows)


def test_a_cancelled_call_closes_its_socket(client: Any, raw_partner: Any) -> None:
    """A cancelled call leaves no connection behind."""
    raw_partner.answer = lambda _: [5]
    http = client()

    async def cancelled() -> None:
        call = asyncio.create_task(http.http.send(Delivery(raw_partner.url, b"{}", "e"), "k", 5.0))
        while not raw_partner.ports:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.sleep(0)

    http.run(cancelled())
    assert open_to(raw_partner) == 0


def test_a_closed_client_keeps_nothing(raw_partner: Any) -> None:
    """A client's connections are closed with it."""

    async def calls() -> None:
        async with HttpClient(max_in_flight=4, connect_timeout_s=1) as http:
            await asyncio.gather(*(http.send(Delivery(raw_partner.url, b"{}", "e"), "k", 5.0) for _ in range(4)))
            assert open_to(raw_partner) == 4

    asyncio.run(calls())
    assert open_to(raw_partner) == 0


def test_ten_thousand_calls_hold_no_more_than_a_few(client: Any, raw_partner: Any) -> None:
    """Handles and connections do not grow with the number of calls, even if some calls fail."""
    ends = [[OK], [OK, raw_partner.CLOSE], [OK + b"more"], [raw_partner.RESET]]
    raw_partner.answer = lambda number: ends[number % 4] if number % 40 < 4 else [OK]
    gc.collect()
    others = Counter(type(one) for one in gc.get_objects())  # of other tests in this process
    http = client(max_in_flight=4)

    async def calls(count: int) -> None:
        async def some() -> None:
            for _ in range(count // 4):
                await http.http.send(Delivery(raw_partner.url, b"{}", "e"), "k", 5.0)

        await asyncio.gather(*(some() for _ in range(4)))

    http.run(calls(10_000))
    gc.collect()
    kinds = Counter(type(one) for one in gc.get_objects())
    assert kinds[pycurl.Curl] <= others[pycurl.Curl] + 4
    assert kinds[Exchange] <= others[Exchange] + 4
    assert open_to(raw_partner) <= 4
    assert len(http.http._kept._used) < 100


def test_what_is_no_connection_any_more_has_no_port() -> None:
    """A descriptor that is closed or belongs to something else has no port; a port is the same for IPv4 and IPv6."""
    of_a_file, _ = ends = os.pipe()
    closed = os.dup(of_a_file)
    os.close(closed)
    near, far = socket.socketpair()
    with near, far, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.bind(("127.0.0.1", 0))
        assert [kept_connections._port_of(one) for one in (closed, of_a_file, near.fileno())] == [None] * 3
        assert kept_connections._port_of(connection.fileno()) == connection.getsockname()[1]
    for end in ends:
        os.close(end)
