"""The partner's client, without its sockets: those are in tests/integration."""

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
    """Exchanges that end as a test says; each takes some time by the clock."""

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
    """It is nobody's fault, and no more than once."""
    scripted = Scripted(monkeypatch, DEAD, (Answer(200), False))
    assert scripted.send().status == 200
    assert scripted.new == [False, True]


def test_no_second_try_without_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call's time is one for both."""
    scripted = Scripted(monkeypatch, DEAD, takes_s=1.0)
    assert scripted.send(timeout_s=1.0).fault == "connection"


@pytest.mark.parametrize(
    ("answer", "found"), [(Answer(fault="timeout"), FROZEN), (Answer(200), None), (Answer(503), None)]
)
def test_a_fault_while_the_process_stood_still_is_ours(
    answer: Answer, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer is an answer all the same."""
    assert Scripted(monkeypatch, (answer, False), takes_s=BEAT_S + STILL_S + 1).send().fault == found


def test_what_http_has_no_form_for_is_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It raises what the dispatcher takes for the partner's mistake."""
    scripted = Scripted(monkeypatch)
    with pytest.raises(UNSENDABLE):
        scripted.send(Delivery("https://partner.example/e", b"{}", "e", headers={"X": "a\r\nb"}))
    assert scripted.new == []


def test_a_handle_that_is_not_kept_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a call's credentials in it: that of a cancelled call, one too many, and all when the client is closed."""
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
