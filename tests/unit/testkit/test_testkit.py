"""What a partner's test stands on: requests, the mapping, and the worker's own code on simulated time."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from partners import Bulk, Delivery, Limits, Partner, Rate, Result, Secret
from shared.firehose import AudienceMembershipChangeRequest, EventProcessingRequest, Registration, Request
from shared.message import to_json
from testkit import (
    Answer,
    PartnerApi,
    assert_sound,
    deliver,
    json_of,
    mapped,
    read_request,
    request,
)
from testkit.requests import KINDS

FIXTURES = Path(__file__).parents[2] / "fixtures" / "firehose"


class Echo(Partner):
    """One call for each event, in order."""

    name = "echo"
    path = "/events"

    def registration(self) -> Registration:
        return Registration(name="Echo", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        assert isinstance(request, EventProcessingRequest)
        key = request.account.account_settings["apiKey"] if request.account else ""
        for event in request.events:
            yield Delivery(
                f"https://api.echo.example{self.path}",
                to_json(event.raw),
                event.id or "",
                headers={"Content-Type": "application/json"},
                secret_headers={"X-Key": Secret(key)},
                sign_with=Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            )


TWO = [{"type": "custom_event", "id": "e-1"}, {"type": "custom_event", "id": "e-2"}]


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_is_made_as_the_worker_sees_it(kind: str) -> None:
    """Of every kind, valid, the same for the same seed."""
    made = request(kind, seed=3)
    assert (made.type, made.malformed) == (kind, ())
    assert made == request(kind, seed=3)


def test_a_request_holds_what_it_is_told_to() -> None:
    """Events as a number or themselves, settings, and any other field."""
    made: Any = request(events=TWO, settings={"region": "eu"}, mpid="5", user_attributes=None)
    assert [event.id for event in made.events] == ["e-1", "e-2"]
    assert (made.account.account_settings["region"], made.mpid, made.user_attributes) == ("eu", "5", {})
    assert len(request(events=3).events) == 3  # type: ignore[union-attr]


def test_a_file_is_read_with_its_numbers_exact(tmp_path: Path) -> None:
    """10.00 stays 10.00, as it does on the queue."""
    file = tmp_path / "event.json"
    event = '{"type": "product_action", "id": "e", "total_amount": 10.00}'
    file.write_text(f'{{"type": "event_processing_request", "id": "r", "events": [{event}]}}')
    read: Any = read_request(file)
    assert str(read.events[0].total_amount) == "10.00"
    audience = read_request(FIXTURES / "audience_membership_change_request.json")
    assert isinstance(audience, AudienceMembershipChangeRequest)


def test_what_is_mapped_is_read_back() -> None:
    """Deliveries in order, their JSON with decimals."""
    deliveries = mapped(Echo(), request(events=[{"type": "custom_event", "id": "e", "price": Decimal("1.50")}]))
    assert [delivery.item for delivery in deliveries] == ["e"]
    assert str(json_of(deliveries[0])["price"]) == "1.50"


def test_what_is_not_sound_fails_the_test_with_its_reason() -> None:
    """A secret in a body, say: the message names the delivery and the place and does not show it."""
    sound = mapped(Echo(), request(events=TWO, settings={"apiKey": "canary-0123"}))
    assert_sound(sound, secrets=["canary-0123"])
    spoilt = replace(sound[1], body=b'{"key": "canary-0123"}')
    with pytest.raises(
        AssertionError, match=r"delivery 2: the setting secret 1, a secret, stands in its body"
    ) as raised:
        assert_sound([sound[0], spoilt], secrets=["canary-0123"])
    assert "canary" not in str(raised.value)


def test_calls_arrive_as_http_would_carry_them() -> None:
    """Method, path, headers with secrets, key and signature; the same key whenever the same is sent again."""
    api = PartnerApi()
    made = request(events=TWO, settings={"apiKey": "k"})
    [end] = deliver(Echo(), made, api=api)
    assert end.how == "delivered"
    first, second = api.calls
    assert (first.method, first.path, json_of(first)["id"]) == ("POST", "/events", "e-1")
    assert first.headers["X-Key"] == "k"
    assert first.headers["webhook-signature"].startswith("v1,")
    assert "k" not in repr(first).replace("webhook", "")
    again = PartnerApi()
    deliver(Echo(), made, api=again)
    assert [call.key for call in again.calls] == [first.key, second.key]
    assert first.key != second.key


@pytest.mark.parametrize(
    ("answers", "how", "reason"),
    [
        ((400,), "dead-lettered", "rejected"),
        ((200,), "delivered", ""),
        ((503,), "waiting", ""),
        ((Answer(fault="timeout"),), "waiting", ""),
        ((401,), "waiting", ""),
        ((503, 200), "delivered", ""),
    ],
)
def test_a_message_ends_as_on_the_worker(answers: tuple[Any, ...], how: str, reason: str) -> None:
    """Status and fault decide, by the worker's own rules."""
    [end] = deliver(Echo(), request(events=1), api=PartnerApi(*answers))
    assert (end.how, end.reason) == (how, reason)
    assert (end.wait_s > 0) is (how == "waiting")


def test_what_waits_comes_back_at_its_time() -> None:
    """Retry-After is obeyed on simulated time: nothing is called before, and what arrived is not repeated."""
    api = PartnerApi(200, Answer(429, retry_after="600"), 200)
    [end] = deliver(Echo(), request(events=TWO), api=api, for_s=3_600)
    assert end.how == "delivered"
    assert [json_of(call)["id"] for call in api.calls] == ["e-1", "e-2", "e-2"]
    assert api.calls[2].at_s >= 600
    assert api.calls[1].key == api.calls[2].key
    api = PartnerApi(Answer(429, retry_after="600"), 200)
    assert deliver(Echo(), request(events=TWO), api=api, for_s=300)[0].how == "waiting"


def test_an_answer_can_hang_on_the_call() -> None:
    """The bad event of two messages is refused; each message ends by itself, in the order of the requests."""
    api = PartnerApi(lambda call: 422 if b"e-2" in call.body else 200)
    bad, fine = request(seed=1, events=TWO), request(seed=2, events=TWO[:1])
    assert [end.how for end in deliver(Echo(), bad, fine, api=api)] == ["dead-lettered", "delivered"]


def test_a_url_that_http_has_no_form_for_never_leaves() -> None:
    """As with the real client: unmappable, and the partner sees nothing."""

    class Spoilt(Echo):
        path = "/a\r\nb"

    api = PartnerApi()
    [end] = deliver(Spoilt(), request(events=1), api=api)
    assert (end.how, end.reason, api.calls) == ("dead-lettered", "unmappable", [])


def test_api_gets_the_secret_fields() -> None:
    """As with the real client they are in the body that arrives; a body that no field can join never leaves."""

    class InBody(Echo):
        body: bytes | None = None

        def deliveries(self, request: Request) -> Iterable[Delivery]:
            for one in super().deliveries(request):
                yield replace(one, body=self.body or one.body, secret_fields={"api_key": Secret("k-1")})

    class NoObject(InBody):
        body = b"[1]"

    api = PartnerApi()
    assert [end.how for end in deliver(InBody(), request(events=1), api=api)] == ["delivered"]
    assert json_of(api.calls[0])["api_key"] == "k-1"
    [end] = deliver(NoObject(), request(events=1), api=api)
    assert (end.reason, len(api.calls)) == ("unmappable", 1)


def test_a_mapping_that_raises_is_a_dead_letter() -> None:
    """What the partner's code raises is named without its text."""

    class Spoilt(Echo):
        def deliveries(self, request: Request) -> Iterable[Delivery]:
            raise KeyError("canary@example.com")

    [end] = deliver(Spoilt(), request(events=1), api=PartnerApi())
    assert (end.how, end.reason) == ("dead-lettered", "unmappable")
    assert end.error.startswith("KeyError in test_testkit.py:")


def test_a_declared_rate_is_kept() -> None:
    """Ten a second: thirty calls take about three simulated seconds, and no real ones."""

    class Slow(Echo):
        limits = Limits(rate=Rate(10))

    api = PartnerApi()
    [end] = deliver(Slow(), request(events=30), api=api)
    assert end.how == "delivered"
    times_s = [call.at_s for call in api.calls]
    assert all(sum(start <= one < start + 0.999 for one in times_s) <= 11 for start in times_s)
    assert times_s[-1] >= 2


def test_bulk_calls_are_made_and_taken_apart() -> None:
    """Events of two messages travel together; the one that the answer refuses costs its own message alone."""

    class Bulky(Echo):
        limits = Limits(bulk={"all": Bulk(10)})

        def deliveries(self, request: Request) -> Iterable[Delivery]:
            return (replace(one, merge="all") for one in super().deliveries(request))

        def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
            body = b"[" + b",".join(one.body for one in deliveries) + b"]"
            return replace(deliveries[0], url="https://api.echo.example/bulk", body=body)

        def read_response(self, deliveries: Sequence[Delivery], status: int, body: bytes) -> Sequence[Result] | None:
            return [Result.REJECTED if b"e-2" in one.body else Result.DELIVERED for one in deliveries]

    api = PartnerApi()
    same = {"apiKey": "key-1"}  # what has another key travels apart
    bad, fine = request(seed=1, events=TWO, settings=same), request(seed=2, events=TWO[:1], settings=same)
    assert [end.how for end in deliver(Bulky(), bad, fine, api=api)] == ["dead-lettered", "delivered"]
    assert [(call.path, len(json_of(call))) for call in api.calls] == [("/bulk", 3)]
