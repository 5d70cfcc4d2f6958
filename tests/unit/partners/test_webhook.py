import json
from typing import Any

import pytest
import simplejson

from partners import Delivery, LeftOut, Rate
from partners.webhook import Webhook
from shared.errors import InvalidRequest, InvalidSettings
from shared.firehose import parse_request, registration_response
from shared.message import EVENTS, QUEUED_TYPES
from testkit.requests import EVENT_TYPES, make_request

URL = "https://partner.example/hook"
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def webhook(**env: str) -> Webhook:
    return Webhook.from_env({"WEBHOOK_URL": URL, **{f"WEBHOOK_{name}": value for name, value in env.items()}})


def events_request(**fields: Any) -> Any:
    request = {
        "type": "event_processing_request",
        "id": "r-1",
        "account": {"account_id": 7, "account_settings": {"apiKey": "k-canary", "signingSecret": SIGNING}},
        "mpid": "-5",
        "user_attributes": {"plan": "pro"},
        "events": [{"type": "custom_event", "id": "e-1", "name": "a"}, {"type": "brand_new", "x": {"y": [1]}}],
        "system_notifications": [{"type": "gdpr_consent_state", "purpose": "ads"}],
        **fields,
    }
    return parse_request(request)


def test_each_event_is_one_call_with_its_context() -> None:
    """Notifications, then events, each with who the user is; unknown events go through as they came."""
    deliveries = list(webhook().deliveries(events_request()))
    bodies = [json.loads(delivery.body) for delivery in deliveries]
    assert [delivery.item for delivery in deliveries] == ["system_notifications[0]", "e-1", "events[1]"]
    assert [body["kind"] for body in bodies] == ["system_notification", "event", "event"]
    assert bodies[2]["event"] == {"type": "brand_new", "x": {"y": [1]}}
    assert bodies[1]["context"]["user_attributes"] == {"plan": "pro"}
    assert bodies[1]["context"]["account"] == {"account_id": 7}
    assert bodies[1]["request_id"] == "r-1"
    assert "events" not in bodies[1]["context"]


ODD = {"x": {1}}
"""What no JSON has, so that a body cannot be written of it."""


@pytest.mark.parametrize(
    ("request_", "out"),
    [
        (
            {
                "type": "event_processing_request",
                "events": [{"type": "custom_event", "id": "odd", **ODD}, {"type": "custom_event", "id": "fine"}],
                "system_notifications": [{"type": "gdpr_consent_state", **ODD}, {"type": "gdpr_consent_state"}],
            },
            ["system_notifications[0]", "odd"],
        ),
        (
            {"type": "audience_membership_change_request", "user_profiles": [{"mpid": "1", **ODD}, {"mpid": "2"}]},
            ["user_profiles[0]"],
        ),
    ],
)
def test_what_cannot_be_written_costs_itself_alone(request_: dict[str, Any], out: list[str]) -> None:
    """Its neighbours are sent, and it is said to have raised."""
    said = list(webhook().deliveries(parse_request(request_)))
    assert [one.item for one in said if isinstance(one, LeftOut) and one.raised] == out
    assert len([one for one in said if isinstance(one, Delivery)]) == len(out)


@pytest.mark.parametrize(
    "request_",
    [
        {"type": "dsr_processing_request", **ODD},
        {"type": "event_processing_request", "user_attributes": {}, "odd": ODD, "events": [{"type": "custom_event"}]},
    ],
)
def test_what_stands_around_all_parts_is_no_part(request_: dict[str, Any]) -> None:
    """A request whose context, or whose erasure, cannot be written is kept whole: nothing of it was sent."""
    with pytest.raises(TypeError):
        list(webhook().deliveries(parse_request(request_)))


def test_credentials_travel_in_a_secret_header_only() -> None:
    """The customer's key is a bearer token and stands in no body."""
    [delivery, *_] = webhook().deliveries(events_request())
    assert delivery.secret_headers["Authorization"].value == "Bearer k-canary"
    assert b"canary" not in delivery.body
    assert "canary" not in str(delivery.headers)


def test_credential_can_have_a_header_of_its_own() -> None:
    """header:NAME sends the key as it is."""
    [delivery, *_] = webhook(AUTH="header:X-Api-Key").deliveries(events_request())
    assert delivery.secret_headers["X-Api-Key"].value == "k-canary"
    assert "Authorization" not in delivery.secret_headers


@pytest.mark.parametrize("account", [None, {}, {"account_id": 1}, {"account_settings": {"apiKey": ""}}])
def test_without_a_key_the_partner_decides(account: object) -> None:
    """A request without a key, as an erasure without an account, is sent without credentials."""
    [delivery, *_] = webhook().deliveries(events_request(account=account))
    assert delivery.secret_headers == {}


@pytest.mark.parametrize("key", ["line\nbreak", "schlüssel"])
def test_key_that_no_header_can_carry_is_refused_by_name(key: str) -> None:
    """A key with a line break could smuggle a header: the request is refused, the key not shown."""
    request = events_request(account={"account_settings": {"apiKey": key}})
    with pytest.raises(InvalidRequest, match="apiKey") as raised:
        list(webhook().deliveries(request))
    assert key not in str(raised.value)


def test_signature_uses_the_customers_secret() -> None:
    """With WEBHOOK_SIGN the customer's own secret signs; without one the request can not be sent."""
    [delivery, *_] = webhook(SIGN="true").deliveries(events_request())
    assert delivery.sign_with is not None
    assert delivery.sign_with.value == SIGNING
    for account in (None, {"account_settings": {"apiKey": "k", "signingSecret": "whsec_"}}):
        with pytest.raises(InvalidRequest, match="signingSecret"):
            list(webhook(SIGN="true").deliveries(events_request(account=account)))


def test_request_mode_sends_what_came_but_the_settings() -> None:
    """One call for the whole request, numbers exact, without the account's settings."""
    account = b'{"account_id":7,"account_settings":{"apiKey":"canary"}}'
    event = b'{"type":"product_action","total_amount":10.00,"x":12345678901234567890.123}'
    text = b'{"type":"event_processing_request","account":%s,"events":[%s]}' % (account, event)
    [delivery] = webhook(PER="request").deliveries(parse_request(text))
    assert delivery.item == "request"
    assert b'"total_amount":10.00' in delivery.body
    assert b"12345678901234567890.123" in delivery.body
    assert simplejson.loads(delivery.body)["account"] == {"account_id": 7}


def test_audience_changes_are_one_call_a_profile() -> None:
    """Each user of an audience change is a call."""
    request = {"type": "audience_membership_change_request", "id": "r", "user_profiles": [{"mpid": "1"}, {"mpid": "2"}]}
    deliveries = list(webhook().deliveries(parse_request(request)))
    assert [json.loads(delivery.body)["user_profile"] for delivery in deliveries] == [{"mpid": "1"}, {"mpid": "2"}]
    assert len({delivery.item for delivery in deliveries}) == 2


def test_erasure_is_one_call() -> None:
    """An erasure request is forwarded whole."""
    request = {"type": "dsr_processing_request", "id": "r", "subject_identities": {"email": {"value": "a@b.c"}}}
    [delivery] = webhook().deliveries(parse_request(request))
    assert json.loads(delivery.body)["erasure"]["subject_identities"] == {"email": {"value": "a@b.c"}}


def test_static_headers_and_method_are_used() -> None:
    """What the operator configured is on every call."""
    [delivery, *_] = webhook(HEADERS='{"X-Source":"mp"}', METHOD="PUT").deliveries(events_request())
    assert (delivery.method, delivery.url) == ("PUT", URL)
    assert delivery.headers == {"Content-Type": "application/json", "X-Source": "mp"}


def test_a_configured_header_takes_the_place_of_ours() -> None:
    """No header is there twice, in whatever case it was written."""
    [delivery, *_] = webhook(HEADERS='{"content-type":"application/vnd.api+json"}').deliveries(events_request())
    assert delivery.headers == {"content-type": "application/vnd.api+json"}


def test_secret_headers_are_sent_as_secrets() -> None:
    """What a function read in the reference's place is beside the customer's key, and shows itself to nobody."""
    [delivery, *_] = webhook(SECRET_HEADERS='{"X-Gateway":"g-canary"}').deliveries(events_request())
    assert {name: secret.value for name, secret in delivery.secret_headers.items()} == {
        "X-Gateway": "g-canary",
        "Authorization": "Bearer k-canary",
    }
    assert "g-canary" not in repr(delivery)


def test_nothing_is_sent_without_secret_headers_that_are_configured() -> None:
    """The registration needs none; a delivery without them does not leave."""
    partner = webhook(SECRET_HEADERS="ssm:/acme/headers")
    assert partner.registration().name == "Webhook"
    with pytest.raises(InvalidSettings, match="WEBHOOK_SECRET_HEADERS"):
        list(partner.deliveries(events_request()))


def test_a_header_of_its_own_leaves_authorization_free() -> None:
    """A gateway's static Authorization can stand beside a customer's key in another header."""
    headers = '{"authorization":"Basic Zm9v"}'
    for auth in ("none", "header:X-Api-Key"):
        assert webhook(AUTH=auth, HEADERS=headers).headers == {"authorization": "Basic Zm9v"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("URL", "https://partner.example:80800/"),
        ("URL", "https://hook..example/"),
        ("URL", "https://partner.example/\nx"),
        ("HEADERS", '{"authorization": "canary"}'),
        ("HEADERS", '{"Content-Encoding": "gzip"}'),
        ("HEADERS", '{"Host": "canary"}'),
        ("SECRET_HEADERS", '{"authorization": "canary"}'),
        ("SECRET_HEADERS", '{"content-type": "canary"}'),
        ("SECRET_HEADERS", "canary"),
        ("AUTH", "header:Host"),
        ("AUTH", "header:content-type"),
        ("AUTH", "header:Idempotency-Key"),
        ("AUTH", "header:webhook-id"),
        ("RATE", "1e-300"),
        ("RATE", "nan"),
        ("URL", ""),
        ("URL", "http://partner.example/"),
        ("URL", "https://user:canary@partner.example/"),
        ("URL", "ftp://partner.example/"),
        ("METHOD", "GET"),
        ("PER", "batch"),
        ("AUTH", "basic"),
        ("AUTH", "header:"),
        ("AUTH", "header:X Y"),
        ("AUTH", "header:Authorization"),
        ("HEADERS", "{"),
        ("HEADERS", "[]"),
        ("HEADERS", '{"X": 5}'),
        ("HEADERS", '{"X Y": "z"}'),
        ("HEADERS", '{"X": "a\\nb"}'),
        ("SIGN", "yes"),
        ("RATE", "fast"),
        ("RATE", "0"),
        ("RATE", "45/0"),
        ("RATE", "inf"),
        ("ACCOUNT_RATE", "-1/5"),
    ],
)
def test_bad_setting_is_named(name: str, value: str) -> None:
    """A setting that can not work is named at the start, before a message is lost to it."""
    with pytest.raises(InvalidSettings, match=f"WEBHOOK_{name}") as raised:
        webhook(**{name: value})
    assert "canary" not in str(raised.value)


def test_rates_are_given_in_the_partners_terms() -> None:
    """45/20 is 45 calls every 20 seconds, 50 is 50 a second, nothing is no limit."""
    limits = webhook(RATE="45/20", ACCOUNT_RATE="50").limits
    assert (limits.rate, limits.account_rate) == (Rate(45, 20), Rate(50))
    assert webhook().limits.rate is None


def test_loopback_may_be_plain_http() -> None:
    """Tests and the demo run a partner on this machine."""
    assert webhook(URL="http://127.0.0.1:8080/x").url == "http://127.0.0.1:8080/x"


@pytest.mark.parametrize(
    ("env", "settings"),
    [
        ({}, ["apiKey"]),
        ({"AUTH": "none"}, []),
        ({"SIGN": "true"}, ["apiKey", "signingSecret"]),
    ],
)
def test_registration_asks_for_the_credentials_it_uses(env: dict[str, str], settings: list[str]) -> None:
    """mParticle asks the customer for exactly the credentials that will be sent, and hides them."""
    answer = registration_response(webhook(**env).registration(), id="r", timestamp_ms=1)
    for part in ("event", "audience", "dsr"):
        declared = answer[f"{part}_processing_registration"].get("account_settings", [])
        assert [setting["id"] for setting in declared] == settings
        assert all(setting["confidential"] and setting["required"] for setting in declared)
    assert len(answer["description"]) < 230


@pytest.mark.parametrize(
    "url",
    ["http://partner.example/", "https://user:canary@partner.example/", "subscribe", "https://hook..example/canary"],
)
def test_address_for_subscriptions_is_checked_by_its_own_name(url: str) -> None:
    """It holds to the same rules as the other, and the message says which one is bad."""
    with pytest.raises(InvalidSettings, match="WEBHOOK_SUBSCRIBE_URL") as raised:
        Webhook.from_env({"WEBHOOK_URL": "https://partner.example/", "WEBHOOK_SUBSCRIBE_URL": url})
    assert "canary" not in str(raised.value)


ODD: list[Any] = [None, 0, "", "x", 1.5, True, [], {}, [None], [[]], [{}], {"a": 1}, {"\ud800": 1}, [0, {"id": []}]]


def calls_of(partner: Webhook, request: Any, **reading: Any) -> Any:
    """Each call's item, body and credentials, or why there are none."""
    try:
        mapped = list(partner.deliveries(parse_request(request, **reading)))
    except InvalidRequest as error:
        return str(error)
    return [
        (one.item, one.body, {name: secret.value for name, secret in one.secret_headers.items()})
        if isinstance(one, Delivery)
        else one
        for one in mapped
    ]


@pytest.mark.parametrize("per", ["event", "request"])
@pytest.mark.parametrize("kind", QUEUED_TYPES)
def test_what_it_does_not_read_makes_no_difference(kind: str, per: str) -> None:
    """Its calls, and its refusals, are those of a request that was read as a whole, whatever stands in a field."""
    partner = webhook(PER=per)
    for seed in range(len(EVENT_TYPES)):
        request = make_request(kind, seed=seed, settings={"apiKey": "k"})
        assert calls_of(partner, request, only=partner.reads) == calls_of(partner, request)
        for field in set(request) - {"type"}:
            odd = {**request, field: ODD[(seed + len(field)) % len(ODD)]}
            assert calls_of(partner, odd, only=partner.reads) == calls_of(partner, odd)


@pytest.mark.parametrize("odd", ODD)
def test_an_event_s_id_is_the_model_s(odd: Any) -> None:
    """A number in its spelling; none where there is no text, and for an event that is no object."""
    partner = webhook()
    for event in (odd, {"id": odd}, {"id": odd, "type": "custom_event", "name": []}):
        request = {"type": EVENTS, "id": "r", "account": {"account_settings": {"apiKey": "k"}}, "events": [event]}
        assert calls_of(partner, request, only=partner.reads) == calls_of(partner, request)
