"""Transfers on the event loop, with a libcurl that the test plays."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pycurl
import pytest

from worker_fn.clients.transfers import Transfers


class Played:
    """libcurl's multi handle; its callbacks are called by the test."""

    def __init__(self) -> None:
        self.callbacks: dict[int, Any] = {}
        self.handles: list[Any] = []
        self.acted: list[tuple[int, int]] = []
        self.ends: tuple[list[Any], list[Any]] = ([], [])
        self.is_broken = False

    def setopt(self, option: int, value: Any) -> None:
        self.callbacks[option] = value

    def add_handle(self, handle: Any) -> None:
        self.handles.append(handle)
        self.callbacks[pycurl.M_TIMERFUNCTION](0)

    def remove_handle(self, handle: Any) -> None:
        self.handles.remove(handle)

    def socket_action(self, descriptor: int, events: int) -> None:
        if self.is_broken:
            raise pycurl.error(4, "internal")
        self.acted.append((descriptor, events))

    def info_read(self) -> tuple[int, list[Any], list[Any]]:
        done, self.ends = self.ends, ([], [])
        return (0, *done)

    def close(self) -> None:
        assert self.handles == []


@pytest.fixture
def multi(monkeypatch: pytest.MonkeyPatch) -> Played:
    played = Played()
    monkeypatch.setattr(pycurl, "CurlMulti", lambda: played)
    return played


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_transfer_ends_as_libcurl_says(multi: Played) -> None:
    """A failed transfer raises libcurl's error; afterwards libcurl holds neither handle."""

    async def story() -> None:
        transfers = Transfers(most_kept=4)
        good, bad = (asyncio.ensure_future(transfers.perform(name)) for name in ("good", "bad"))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        multi.ends = (["good"], [("bad", pycurl.E_RECV_ERROR, "reset")])
        await good
        with pytest.raises(pycurl.error, match="reset"):
            await bad
        assert (multi.handles, multi.acted) == ([], [(pycurl.SOCKET_TIMEOUT, 0)])
        transfers.close()

    asyncio.run(story())


def test_a_socket_is_watched_while_libcurl_waits_for_it(multi: Played, pipe: tuple[int, int]) -> None:
    """A socket is watched for exactly what libcurl asks for, and as long, whether it was watched before or not."""

    async def story() -> None:
        transfers, (reads, writes) = Transfers(most_kept=4), pipe
        call = asyncio.ensure_future(transfers.perform("a"))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        watch = multi.callbacks[pycurl.M_SOCKETFUNCTION]
        multi.acted.clear()
        os.write(writes, b"x")
        watch(pycurl.POLL_REMOVE, reads, multi, None)
        watch(pycurl.POLL_OUT, writes, multi, None)
        watch(pycurl.POLL_NONE, writes, multi, None)
        await asyncio.sleep(0.01)
        assert multi.acted == []
        watch(pycurl.POLL_OUT, writes, multi, None)
        watch(pycurl.POLL_IN, reads, multi, None)
        watch(pycurl.POLL_IN, writes, multi, None)
        multi.ends = (["a"], [])
        await call
        assert set(multi.acted) == {(reads, pycurl.CSELECT_IN)}
        transfers.close()

    asyncio.run(story())


def test_libcurl_is_called_at_its_time_or_sooner(multi: Played) -> None:
    """If libcurl is called too early it names the time again, so an earlier timer is not replaced."""

    async def story() -> list[float]:
        loop, transfers, times = asyncio.get_running_loop(), Transfers(most_kept=4), list[float]()
        call_at = loop.call_at

        def noted(when: float, *arguments: Any) -> asyncio.TimerHandle:
            times.append(round(when - begun_s))
            return call_at(when, *arguments)

        call = asyncio.ensure_future(transfers.perform("a"))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        loop.call_at, begun_s = noted, loop.time()  # type: ignore[method-assign]
        for after_ms in (20_000, 30_000, 10_000, -1, 10_000):
            multi.callbacks[pycurl.M_TIMERFUNCTION](after_ms)
        call.cancel()
        transfers.close()
        return times

    assert asyncio.run(story()) == [20, 10]


def test_a_cancelled_transfer_is_taken_out_at_once(multi: Played) -> None:
    """A cancelled transfer is removed at once, with its connection."""

    async def story() -> None:
        transfers = Transfers(most_kept=4)
        call = asyncio.ensure_future(transfers.perform("a"))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert multi.handles == []
        transfers.close()

    asyncio.run(story())


def test_no_transfer_outlives_libcurl(multi: Played) -> None:
    """If libcurl itself fails all transfers fail; closing it cancels them."""

    async def story() -> None:
        transfers = Transfers(most_kept=4)
        calls = [asyncio.ensure_future(transfers.perform(name)) for name in ("a", "b")]  # type: ignore[arg-type]
        multi.is_broken = True
        assert [type(end) for end in await asyncio.gather(*calls, return_exceptions=True)] == [pycurl.error] * 2
        multi.is_broken = False
        last = asyncio.ensure_future(transfers.perform("c"))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        transfers.close()
        with pytest.raises(asyncio.CancelledError):
            await last

    asyncio.run(story())
