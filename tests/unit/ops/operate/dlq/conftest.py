"""A dead-letter queue in memory."""

from collections.abc import Callable

import pytest

from shared.message import EVENTS, Head, encode, to_json
from tests.fakes.clock import Clock
from tests.fakes.sqs import MemorySqs

PARTNER = {"PARTNER": "partners.webhook", "WEBHOOK_URL": "http://127.0.0.1:9/hook", "QUEUE_URL": "main"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sqs(clock: Clock) -> MemorySqs:
    return MemorySqs(clock)


@pytest.fixture
def body() -> Callable[..., str]:
    """A queue message's body: of a request with one event."""

    def make(request_id: str = "r1", account: int = 7, *, events: object = None, **more: object) -> str:
        request = {
            "type": EVENTS,
            "id": request_id,
            "account": {"account_id": account, "account_settings": {"apiKey": "CANARY-key"}},
            "events": [{"type": "custom_event", "event_name": "bought"}] if events is None else events,
            **more,
        }
        (text,) = encode(Head(request_id, EVENTS, str(account), 1_789_999_000_000), to_json(request))
        return text

    return make
