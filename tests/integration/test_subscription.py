"""Audience subscriptions that the partner's API is asked about, over real sockets."""

import json
import socket
import time
from typing import Any

import pytest

from ingest_fn import handler as ingest_entry
from ingest_fn.partner_call import PartnerCall
from partners import Delivery, Secret
from partners.in_line import Answer
from shared.errors import SubscriptionFailed
from shared.partner_http import MAX_ANSWER_BYTES

REQUEST = {
    "type": "audience_subscription_request",
    "id": "r-1",
    "account": {"account_id": 7, "account_settings": {"apiKey": "key-canary"}},
    "audience_id": 5,
    "audience_name": "canary@example.com",
    "action": "add",
}


def reply(status: int, body: bytes = b"{}", **headers: str) -> Any:
    def answer(handler: Any, _: Any) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def call(url: str, *, time_s: float = 5.0, about: tuple[str, ...] = ("r-1", "7", "5", "add"), **more: Any) -> Answer:
    made = PartnerCall(about, time.monotonic() + time_s)
    return made(Delivery(url, b"{}", "list", **more))


SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def subscribing(queues: Any, partner: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A webhook with an address for subscriptions."""
    monkeypatch.setenv("WEBHOOK_SUBSCRIBE_URL", f"{partner.url}/subscribe?v=1")
    ingest_entry._settings.cache_clear()
    return partner


def test_the_endpoint_is_told_while_mparticle_waits(subscribing: Any, queues: Any) -> None:
    """The endpoint gets the customer's key in a header and not in the body, and nothing is queued."""
    assert ingest_entry.handler(REQUEST, None)["type"] == "audience_subscription_response"
    [made] = subscribing.calls
    body = json.loads(made.body)
    assert (made.path, made.headers["Authorization"]) == ("/subscribe?v=1", "Bearer key-canary")
    assert body["kind"] == "audience_subscription"
    assert body["audience_subscription"]["audience_id"] == 5
    assert b"key-canary" not in made.body
    assert queues.depth() == (0, 0)


def test_a_repeated_request_has_the_same_key(subscribing: Any) -> None:
    """A request that mParticle repeats has the same key; one for another audience, or for the end of this one, has
    another.
    """
    for request in (REQUEST, REQUEST, {**REQUEST, "audience_id": 6}, {**REQUEST, "action": "remove"}):
        ingest_entry.handler(request, None)
    first, second, other, end = (made.headers["Idempotency-Key"] for made in subscribing.calls)
    assert first == second
    assert len({first, other, end}) == 3


@pytest.mark.parametrize("status", [301, 400, 401, 404, 429, 500, 503])
def test_a_refusal_is_an_error_that_names_the_status(
    subscribing: Any, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a refusal nothing is subscribed, and the log has the status, but nothing of the request or the answer."""
    subscribing.answer = reply(status, b'{"error":"canary"}', Location="http://127.0.0.1/canary")
    with pytest.raises(SubscriptionFailed, match=f"HTTP {status}"):
        ingest_entry.handler(REQUEST, None)
    logged, metric = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert f"HTTP {status}" in logged["error"]
    assert metric["SubscriptionFailed"] == 1
    assert "canary" not in json.dumps(logged)
    assert len(subscribing.calls) == 1


def test_without_the_setting_nobody_is_asked(queues: Any, partner: Any) -> None:
    """A webhook without an address for subscriptions accepts them without a call."""
    assert ingest_entry.handler(REQUEST, None)["type"] == "audience_subscription_response"
    assert partner.calls == []


def test_a_slow_partner_is_given_up_in_time(partner: Any) -> None:
    """A call without an answer, or with one that arrives byte by byte, ends when its time does."""

    def drip(handler: Any, _: Any) -> None:
        for byte in b"HTTP/1.1 200 O" + 1_000 * b"K":
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.02)  # the partner's own slowness

    for answer in (drip, lambda *_: time.sleep(1)):
        partner.answer = answer
        with pytest.raises(SubscriptionFailed, match="in time"):
            call(partner.url, time_s=0.3)


def test_what_is_not_there_or_breaks_off_is_one_error(partner: Any) -> None:
    """A closed port and half an answer give the same error."""
    with pytest.raises(SubscriptionFailed, match="no answer"):
        call("http://127.0.0.1:1/")

    def half(handler: Any, _: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 2")
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    partner.answer = half
    with pytest.raises(SubscriptionFailed, match="no answer"):
        call(partner.url)


def test_an_answer_is_read_to_its_bound(partner: Any) -> None:
    """Redirects are not followed, each status is given to the partner, and the body is read up to a bound."""
    partner.answer = reply(409, b"x" * (MAX_ANSWER_BYTES + 5))
    answer = call(f"{partner.url}/lists")
    assert (answer.status, answer.is_success, len(answer.body)) == (409, False, MAX_ANSWER_BYTES)
    partner.answer = reply(204, b"")
    assert call(partner.url) == Answer(204)
    assert "xxx" not in repr(answer)


def test_headers_are_those_of_a_delivery(partner: Any) -> None:
    """The call has secrets and signature as a delivery has; two calls to one endpoint have different keys."""
    made = PartnerCall(("r-1",), time.monotonic() + 5)
    delivery = Delivery(
        partner.url, b"{}", "list", headers={"X-A": "1"}, secret_headers={"X-B": Secret("2")}, sign_with=Secret(SIGNING)
    )
    made(delivery)
    made(delivery)
    first, second = partner.calls
    assert (first.headers["X-A"], first.headers["X-B"]) == ("1", "2")
    assert first.headers["webhook-signature"].startswith("v1,")
    assert first.headers["Idempotency-Key"] != second.headers["Idempotency-Key"]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "/lists", "https://"])
def test_what_is_no_address_is_the_partners_mistake(url: str) -> None:
    """A URL that is no address is never called, and is reported as a fault of the partner's code."""
    with pytest.raises(ValueError, match="no URL"):
        call(url)
