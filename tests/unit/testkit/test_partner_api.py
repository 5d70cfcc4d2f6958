"""A partner's API in memory."""

import asyncio

import pytest

from partners import Delivery
from testkit import Answer, PartnerApi
from testkit.clock import run

ONE = Delivery(url="https://api.example/v1/users?a=1", body=b"{}", item="1")


def test_answers_come_in_turn_and_the_last_again() -> None:
    """A status, an Answer, or what a function makes of the call."""
    api = PartnerApi(429, Answer(503, retry_after="7"), lambda call: 201 if call.path == "/v1/users" else 404)

    async def story() -> list[Answer]:
        return [await api.send(ONE, f"key-{number}", 5.0) for number in range(4)]

    assert run(story()) == [Answer(429), Answer(503, retry_after="7"), Answer(201), Answer(201)]
    assert [call.key for call in api.calls] == ["key-0", "key-1", "key-2", "key-3"]
    assert (api.calls[0].delivery, api.timeouts_s) == (ONE, [5.0] * 4)


def test_calls_take_their_time_side_by_side() -> None:
    """How many were in flight at once is remembered."""
    api = PartnerApi(call_s=2.0)

    async def story() -> float:
        await asyncio.gather(*(api.send(ONE, "key", 5.0) for _ in range(3)))
        return asyncio.get_running_loop().time()

    assert run(story()) == 2.0
    assert api.most_in_flight == 3


def test_what_http_has_no_form_for_is_refused() -> None:
    """As the real client does."""
    api = PartnerApi()
    with pytest.raises(ValueError, match="no URL"):
        run(api.send(Delivery(url="https://[bad/x", body=b"", item="1"), "key", 5.0))
    assert api.calls == []
