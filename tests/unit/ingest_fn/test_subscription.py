import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ingest_fn import subscription
from ingest_fn.subscription import subscribe
from partners import Partner
from partners.in_line import Call
from shared.errors import InvalidRequest, SpillwayError, SubscriptionFailed
from shared.firehose import AudienceProcessingRegistration, AudienceSubscriptionRequest, Registration, TextSetting

REQUEST = {
    "type": "audience_subscription_request",
    "id": "r-1",
    "account": {"account_id": 7},
    "audience_id": 5,
    "audience_name": "canary@example.com",
    "action": "add",
    "audience_subscription_settings": {"colour": "red"},
}

Answers = Callable[[AudienceSubscriptionRequest, Call], Any]


class Lists(Partner):
    """A partner that answers subscriptions as a test says."""

    name = "lists"

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def registration(self) -> Registration:
        settings = [TextSetting(id="listId", name="List", required=True, visible=False)]
        declared = AudienceProcessingRegistration(audience_subscription_settings=settings)
        return Registration(name="Lists", version="1", audience_processing_registration=declared)

    def deliveries(self, request: Any) -> list[Any]:
        return []

    def subscribe(self, request: AudienceSubscriptionRequest, call: Call) -> Mapping[str, str]:
        answer: Mapping[str, str] = self.answers(request, call)
        return answer


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Answer a subscription with a partner that does as given."""

    def run(answers: Answers, *, remaining_s: float = 5.0, **more: Any) -> dict[str, Any]:
        monkeypatch.setattr(subscription, "load_partner", lambda _: Lists(answers))
        payload = json.dumps({**REQUEST, **more}).encode()
        return subscribe({}, payload, request_id="r-1", now_ms=5, remaining_s=remaining_s)

    return run


def test_settings_of_the_partner_are_answered(ask: Any) -> None:
    """What it adds to those that came is stored with the subscription."""
    answer = ask(lambda request, _: {**request.audience_subscription_settings, "listId": "l-1"})
    assert answer["type"] == "audience_subscription_response"
    assert answer["audience_subscription_settings"] == {"colour": "red", "listId": "l-1"}


def test_without_an_answer_of_its_own_settings_stay_as_they_came(ask: Any) -> None:
    """The default of a partner is not held against anything."""
    answer = ask(lambda request, call: Partner.subscribe(Lists(lambda *_: None), request, call))
    assert answer["audience_subscription_settings"] == {"colour": "red"}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"listid": "l"}, "listid is not registered"),
        ({"colour": "red", "size": "1"}, "size is not registered"),
        ({"listId": ""}, "listId is missing"),
        (None, "a mapping"),
        ("text", "a mapping"),
    ],
)
def test_settings_that_are_not_registered_subscribe_nobody(ask: Any, settings: Any, problem: str) -> None:
    """mParticle gets an error and sends again; the log says which setting, and no value."""
    with pytest.raises(SubscriptionFailed, match=problem) as raised:
        ask(lambda *_: settings)
    assert "canary" not in str(raised.value)


def test_an_audience_that_goes_needs_no_settings(ask: Any) -> None:
    """At the end of a subscription there is nothing to store."""
    assert "audience_subscription_settings" not in ask(lambda *_: {}, action="remove")


def test_code_that_raises_is_named_by_its_place(ask: Any) -> None:
    """File and line, and nothing of what it said."""

    def boom(request: AudienceSubscriptionRequest, _: Call) -> Any:
        raise KeyError(request.audience_name)

    with pytest.raises(SubscriptionFailed) as raised:
        ask(boom)
    assert str(raised.value).startswith("KeyError in test_subscription.py:")
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "error", [SubscriptionFailed("the partner answered HTTP 404"), InvalidRequest("must be set", "account")]
)
def test_what_a_partner_raises_on_purpose_is_told_as_it_is(ask: Any, error: SpillwayError) -> None:
    """A refusal, or a setting that the customer left out, is in the partner's own words."""

    def refuse(*_: Any) -> Any:
        raise error

    with pytest.raises(type(error), match=str(error)):
        ask(refuse)


def test_a_partner_that_never_answers_ends_in_time(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it waits for: the allowance ends, mParticle gets an error."""
    monkeypatch.setattr(subscription, "ALLOWED_S", 0.05)
    let_go = threading.Event()
    with pytest.raises(SubscriptionFailed, match="took longer than"):
        ask(lambda *_: let_go.wait(30))
    let_go.set()


def test_without_time_left_nobody_is_asked_for_long(ask: Any) -> None:
    """A function that is at its end keeps what it needs to say so."""
    let_go = threading.Event()
    with pytest.raises(SubscriptionFailed):
        ask(lambda *_: let_go.wait(30), remaining_s=0.5)
    let_go.set()


def test_a_partner_is_made_with_what_is_kept_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text that was read stands in the reference's place."""
    seen: list[Mapping[str, str]] = []

    def load(env: Mapping[str, str]) -> Partner:
        seen.append(env)
        return Lists(lambda request, _: request.audience_subscription_settings)

    monkeypatch.setattr(subscription, "load_partner", load)
    env, kept = {"ACME_SECRET_HEADERS": "ssm:/spillway/x", "ACME_URL": "u"}, (("ACME_SECRET_HEADERS", '{"X": "1"}'),)
    subscribe(env, json.dumps(REQUEST).encode(), stored=lambda: kept, request_id="r", now_ms=5, remaining_s=5)
    assert seen == [{"ACME_SECRET_HEADERS": '{"X": "1"}', "ACME_URL": "u"}]
