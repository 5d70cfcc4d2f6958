"""The partner's client without sockets; tests/integration has those tests."""

import asyncio
from typing import Any

import pycurl
import pytest

from partners import Delivery
from shared.partner_http import Exchange
from worker_fn.clients.freezes import BEAT_S, STILL_S
from worker_fn.clients.http import FROZEN, UNSENDABLE, Answer, HttpClient
from worker_fn.clients.transfers import Transfers

CALL = Delivery("https://partner.example/e", b"{}", "e")
DEAD = (Answer(fault="connection"), True)


class Scripted:
    """Exchanges that end as a test says, and take some time by the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *ends: tuple[Answer, bool], takes_s: float = 0.0) -> None:
        self.now_s, self.new, self.ends, self.takes_s = 0.0, list[bool](), list(ends), takes_s
        monkeypatch.setattr(HttpClient, "_exchange", self.exchange)

    async def exchange(self, request: Any, timeout_s: float, *, on_new: bool = False) -> tuple[Answer, bool]:
        self.now_s += self.takes_s
        self.new.append(on_new)
        return self.ends.pop(0)

    def send(self, call: Delivery = CALL, timeout_s: float = 10.0) -> Answer:
        async def run() -> Answer:
            clock = lambda: self.now_s  # noqa: E731
            async with HttpClient(max_in_flight=1, connect_timeout_s=1, clock=clock, wall_clock=clock) as client:
                return await client.send(call, "key", timeout_s)

        return asyncio.run(run())


def test_a_dead_kept_connection_costs_one_more_try_on_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call on a dead kept connection is made again once, and nobody is at fault."""
    scripted = Scripted(monkeypatch, DEAD, (Answer(200), False))
    assert scripted.send().status == 200
    assert scripted.new == [False, True]


def test_no_second_try_without_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both tries share the call's time, so without time left there is no second one."""
    scripted = Scripted(monkeypatch, DEAD, takes_s=1.0)
    assert scripted.send(timeout_s=1.0).fault == "connection"


@pytest.mark.parametrize(
    ("answer", "found"), [(Answer(fault="timeout"), FROZEN), (Answer(200), None), (Answer(503), None)]
)
def test_a_fault_while_the_process_stood_still_is_ours(
    answer: Answer, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault during a freeze is not the partner's; an answer still counts."""
    assert Scripted(monkeypatch, (answer, False), takes_s=BEAT_S + STILL_S + 1).send().fault == found


def test_what_http_has_no_form_for_is_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client raises the error that the dispatcher takes for a fault of the partner's code."""
    scripted = Scripted(monkeypatch)
    with pytest.raises(UNSENDABLE):
        scripted.send(Delivery("https://partner.example/e", b"{}", "e", headers={"X": "a\r\nb"}))
    assert scripted.new == []


def test_a_handle_that_is_not_kept_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handle has a call's credentials: that of a cancelled call and a surplus one are closed at once, and all when
    the client is closed.
    """
    made: list[Exchange] = []

    async def perform(_: Transfers, curl: pycurl.Curl) -> None:
        await asyncio.sleep(3_600 if curl is made[0].curl else 0)

    async def story() -> list[bool]:
        async with HttpClient(max_in_flight=1, connect_timeout_s=1) as client:
            new = client._new_exchange
            client._new_exchange = lambda: made.append(new()) or made[-1]  # type: ignore[assignment,func-returns-value]
            calls = [asyncio.ensure_future(client.send(CALL, "key", 10.0)) for _ in range(3)]
            await asyncio.wait(calls[1:])
            calls[0].cancel()
            await asyncio.wait(calls)
            while_open = [one.curl.closed for one in made]
        return [*while_open, made[1].curl.closed]

    monkeypatch.setattr(Transfers, "perform", perform)
    assert asyncio.run(story()) == [True, False, True, True]
