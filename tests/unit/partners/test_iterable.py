"""Iterable's rules as recorded cases, and one test for each defect of its Java integration that is mended here.

D01 to D21 are described in docs/partners/iterable.md.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ops.partner.replay import as_json, cases, replay
from partners import Delivery, load_partner
from partners.iterable import Iterable
from shared.errors import InvalidRequest, InvalidSettings
from shared.firehose import parse_request, registration_response
from testkit import assert_sound, left_out

FIXTURE = Path(__file__).parents[2] / "fixtures" / "partners" / "iterable_cases.ndjson"
RECORDED = [json.loads(line, parse_float=Decimal) for line in FIXTURE.read_text("utf-8").splitlines()]

ANN = [{"type": "email", "encoding": "raw", "value": "ann@example.com"}]
ACCOUNT = {"account_id": 7, "account_settings": {"apiKey": "key-1"}}


def email(value: str, encoding: str = "raw") -> dict[str, str]:
    return {"type": "email", "encoding": encoding, "value": value}


def batch(*events: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A request of Ann's; each event gets an id and a time by its place."""
    timed = [{"id": f"e{place}", "timestamp_ms": 1_000 * place, **event} for place, event in enumerate(events)]
    head = {"type": "event_processing_request", "id": "r-1", "account": ACCOUNT, "user_identities": ANN}
    return {**head, "events": timed, **fields}


def custom(name: str = "Viewed", **fields: Any) -> dict[str, Any]:
    return {"type": "custom_event", "name": name, **fields}


def replayed(given: Any, answers: Sequence[Any] = ()) -> tuple[list[tuple[str, Any]], str]:
    """The calls as endpoint and body, and the outcome."""
    line = json.dumps({"input": given, "answers": list(answers)}).encode()
    [case] = cases([line])
    content = json.loads(as_json(replay(case, Iterable())), parse_float=Decimal)
    return [(call["path"].removeprefix("/api/"), call["body"]) for call in content["calls"]], content["outcome"]


@pytest.mark.parametrize("quantity", ["1e10000000", "1e5000", "1e99999999999999999999", "9223372036854775808"])
def test_a_quantity_that_nobody_buys_costs_its_purchase(quantity: str) -> None:
    """At once, and not its neighbours; what cannot be read as a number costs the same."""
    bought = {"type": "product_action", "action": "purchase", "products": [{"id": "p", "quantity": "QUANTITY"}]}
    text = json.dumps(batch(custom("before"), bought, custom("after"))).replace('"QUANTITY"', quantity)
    calls = [one for one in Iterable().deliveries(parse_request(text)) if isinstance(one, Delivery)]
    assert [one.item for one in calls] == ["user", "e0", "e2"]


def test_many_lists_of_one_profile_are_read_once() -> None:
    """An audience that is left and entered again is left out, however many there are: each is looked at once."""
    changes = [{"audience_subscription_settings": {"listId": str(n)}, "action": "delete"} for n in range(20_000)]
    changes += [{"audience_subscription_settings": {"listId": "5"}, "action": "add"}]
    profile = {"user_identities": ANN, "audiences": changes}
    head = {"type": "audience_membership_change_request", "id": "r-1", "account": ACCOUNT, "user_profiles": [profile]}
    calls = [one for one in Iterable().deliveries(parse_request(head)) if isinstance(one, Delivery)]
    assert len(calls) == 20_000
    assert calls[0].url.endswith("lists/subscribe")
    assert "list 5" not in {one.item for one in calls[1:]}


def endpoints(given: Any, answers: Sequence[Any] = ()) -> list[str]:
    return [endpoint for endpoint, _ in replayed(given, answers)[0]]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded["name"])
def test_recorded_case(recorded: dict[str, Any]) -> None:
    """A request becomes exactly these calls, and ends so."""
    [case] = cases([json.dumps(recorded, default=float).encode()])
    shown = json.loads(as_json(replay(case, Iterable())), parse_float=Decimal)
    assert shown == {name: recorded[name] for name in ("name", "calls", "outcome")}


def test_the_data_center_decides_the_host() -> None:
    """us unless it is said otherwise; what is neither is refused by name."""
    env = {"PARTNER": "partners.iterable"}
    for more, host in (({}, "api.iterable.com"), ({"ITERABLE_DATA_CENTER": "eu"}, "api.eu.iterable.com")):
        [delivery] = load_partner(env | more).deliveries(parse_request(batch()))
        assert delivery.url == f"https://{host}/api/users/update"
    with pytest.raises(InvalidSettings, match="ITERABLE_DATA_CENTER must be one of us, eu"):
        load_partner(env | {"ITERABLE_DATA_CENTER": "mars"})


def test_registration_asks_for_what_the_mapping_reads() -> None:
    """The settings that the mapping reads are declared, the key as a confidential one."""
    told = registration_response(Iterable().registration(), id="i", timestamp_ms=1)
    events, audiences = told["event_processing_registration"], told["audience_processing_registration"]
    names = [one["id"] for one in events["account_settings"]]
    applications = ["gcmIntegrationName", "apnsSandboxIntegrationName", "apnsProdIntegrationName"]
    assert names == ["apiKey", *applications, "coerceStringsToScalars"]
    assert events["account_settings"][0] == audiences["account_settings"][0]
    assert events["account_settings"][0]["confidential"]
    assert [one["id"] for one in audiences["audience_subscription_settings"]] == ["listId"]
    assert events["push_messaging_provider_id"] == "itbl"


def test_the_key_travels_in_a_secret_header_only() -> None:
    """D11: not in the URL, where every log on the way would show it."""
    deliveries = list(Iterable().deliveries(parse_request(batch(custom()))))
    assert {one.secret_headers["Api-Key"].value for one in deliveries} == {"key-1"}
    assert "key-1" not in "".join(f"{one.url} {one.headers} {one.body!r}" for one in deliveries)


def test_the_same_request_has_the_same_items() -> None:
    """An event's id names its delivery, its place where it has none: keys stay the same when it is mapped again."""
    request = batch(custom(), custom(id=None), {"type": "user_identity_change", "added": [email("b@example.com")]})
    items = [one.item for one in Iterable().deliveries(parse_request(request | {"device_application_stamp": "d"}))]
    assert items == ["e2", "user", "e0", "events[1]"]


@pytest.mark.parametrize("answer", ["connect_error", {"status": 200, "body": "<html>bad gateway</html>"}])
def test_d01_connection_errors_and_unreadable_answers_are_tried_again(answer: Any) -> None:
    """The message waits; what is behind the call was not made."""
    calls, outcome = replayed(batch(custom(), custom()), ["success", answer])
    assert (len(calls), outcome) == (2, "retriable")


@pytest.mark.parametrize("status", [408, 500, 501, 503, 520])
def test_d02_every_server_error_is_tried_again(status: int) -> None:
    """Not only 429, 502 and 504."""
    assert replayed(batch(custom()), [status])[1] == "retriable"


@pytest.mark.parametrize("settings", [{}, {"userIdField": "mpid"}])
def test_d03_a_user_with_an_address_needs_no_placeholder(settings: dict[str, str]) -> None:
    """A server feed's user has only an e-mail; nothing is worked out that nobody needs."""
    account = {"account_id": 7, "account_settings": {"apiKey": "key-1", **settings}}
    calls, outcome = replayed(batch(custom(), account=account))
    assert outcome == "ok"
    assert calls[0] == ("users/update", {"email": "ann@example.com"})


def test_d03_an_address_is_added_only_to_a_user_who_can_be_named() -> None:
    """Without a placeholder there is no call for it, and the rest goes on."""
    change = {"type": "user_identity_change", "added": [email("new@example.com")]}
    assert endpoints(batch(change, custom())) == ["users/update", "events/track"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_d04_numbers_that_json_can_not_write_stay_text(value: str) -> None:
    """They cost neither their call nor the rest of the batch."""
    calls, outcome = replayed(batch(custom(attributes={"ratio": value}), custom()))
    assert outcome == "ok"
    assert calls[1][1]["dataFields"] == {"ratio": value}
    assert len(calls) == 3


BROKEN = [
    custom("subscriptionsUpdated", attributes={"emailListIds": "1,two"}),
    {"type": "push_message_open", "payload": '{"itbl": [1]}'},
    {"type": "push_message_open", "payload": "not json"},
    {"type": "push_message_receipt", "payload": '{"itbl": "not json"}'},
    {"type": "product_action", "action": "purchase", "total_amount": {"no": "number"}},
    {"type": "product_action"},
    {"type": "push_subscription", "token": "t"},
    "no object",
    None,
]


@pytest.mark.parametrize("event", BROKEN, ids=str)
def test_d05_a_malformed_event_costs_only_itself(event: Any) -> None:
    """Those before and behind it go on."""
    request = batch(custom("before"), custom("after"))
    request["events"].insert(1, event if not isinstance(event, dict) else {"id": "bad", "timestamp_ms": 500, **event})
    calls, outcome = replayed(request)
    assert outcome == "ok"
    assert [(endpoint, body.get("eventName")) for endpoint, body in calls] == [
        ("users/update", None),
        ("events/track", "before"),
        ("events/track", "after"),
    ]


def test_d05_a_null_mobile_number_costs_nothing() -> None:
    """It is an attribute without a value."""
    calls, _ = replayed(batch(user_attributes={"$Mobile": None, "a": "b"}))
    assert calls == [("users/update", {"email": "ann@example.com", "dataFields": {"a": "b"}})]


def profile(who: str | None, *changes: tuple[Any, str | None], **fields: Any) -> dict[str, Any]:
    audiences = [{"audience_subscription_settings": {"listId": id_}, "action": action} for id_, action in changes]
    return {"user_identities": [email(who)] if who else [], "audiences": audiences, **fields}


def audience(*profiles: dict[str, Any], **settings: str) -> dict[str, Any]:
    account = {"account_id": 7, "account_settings": {"apiKey": "key-1", **settings}}
    return {"type": "audience_membership_change_request", "id": "r", "account": account, "user_profiles": profiles}


@pytest.mark.parametrize("list_id", ["abc", "", None, "2147483648", "1.5"])
def test_d05_a_bad_list_costs_only_its_own_change(list_id: Any) -> None:
    """Other lists of the same profile and other profiles go on."""
    request = audience(profile("a@example.com", (list_id, "add"), ("1", "add")), profile("b@example.com", ("1", "add")))
    members = [{"email": "a@example.com"}, {"email": "b@example.com"}]
    assert replayed(request) == ([("lists/subscribe", {"listId": 1, "subscribers": members})], "ok")


def test_d05_what_is_left_out_is_named_with_its_reason() -> None:
    """An event's name or a place in the audiences, for the log; a kind of event that Iterable has no use for is nothing
    that anybody looks for.
    """
    change = {"type": "user_identity_change", "added": [email("new@example.com")]}
    lists = custom("subscriptionsUpdated", attributes={"emailListIds": "1,two"})
    events = batch(change, lists, {"type": "screen_view"}, {"type": "push_message_open", "payload": "not json"})
    assert left_out(Iterable(), parse_request(events)) == [
        ("e0", "a new e-mail address of a user whose old one, or placeholder, is not known"),
        ("e1", "subscriptions: one of the lists holds what is no id"),
    ]
    request = json.dumps(audience(profile("a@example.com", ("1", "add"), ("x", "add")), profile(None, ("1", "add"))))
    expected = [
        ("user_profiles[0].audiences[1]", "its listId is no number"),
        ("user_profiles[1]", "a profile without e-mail, and no mpid to make one of"),
    ]
    assert left_out(Iterable(), parse_request(request)) == expected
    assert left_out(Iterable(is_bulk=True), parse_request(request)) == expected


@pytest.mark.parametrize("account", [None, {"account_id": 7}, {"account_id": 7, "account_settings": {"apiKey": ""}}])
def test_d05_without_a_key_the_whole_message_is_reported(account: Any) -> None:
    """No call is made, and the message is in the dead-letter queue with the setting's name."""
    [case] = cases([json.dumps(batch(custom(), account=account)).encode()])
    found = replay(case, Iterable())
    assert (found.calls, found.outcome) == ([], "permanent")
    assert "account.account_settings.apiKey" in found.ends[0]


def test_d05_what_is_no_json_is_refused_aloud() -> None:
    """Ingest answers with an error, instead of success and silence."""
    assert replayed("not json") == ([], "permanent")


def test_d06_a_batch_without_events_updates_the_profile() -> None:
    """`events` may be absent."""
    request = batch(user_attributes={"plan": "pro"})
    del request["events"]
    assert replayed(request)[0] == [("users/update", {"email": "ann@example.com", "dataFields": {"plan": "pro"}})]


def test_d08_a_new_kind_of_anything_costs_nothing() -> None:
    """Identity types, encodings, event types, environments, notifications, actions."""
    request = batch(
        custom(custom_event_type="brand_new"),
        {"type": "brand_new"},
        {"type": "product_action", "action": "brand_new"},
        user_identities=[*ANN, {"type": "telegram", "encoding": "raw", "value": "x"}],
        runtime_environment={"type": "watch", "identities": [{"type": "watch_id", "encoding": "rot13", "value": "x"}]},
        system_notifications=[{"type": "brand_new"}],
        consent_state={"brand_new": {}},
    )
    assert endpoints(request) == ["users/update", "events/track"]


def test_d10_every_record_of_a_batch_is_worked_on() -> None:
    """Not only the first."""
    records = [{"body": json.dumps(batch(custom(name), id=name))} for name in ("one", "two", "three")]
    calls, outcome = replayed({"Records": records})
    names = {body["eventName"] for endpoint, body in calls if endpoint == "events/track"}
    assert (len(calls), names, outcome) == (6, {"one", "two", "three"}, "ok")


def opened(campaign_id: Any, kind: str = "push_message_open", **fields: Any) -> dict[str, Any]:
    payload = json.dumps({"itbl": {"campaignId": campaign_id, "templateId": 6, **fields}})
    return {"type": kind, "payload": payload}


def test_d12_a_proof_costs_only_itself() -> None:
    """Opens behind it are sent."""
    calls, _ = replayed(batch(opened(0), opened(5), custom()))
    assert [body.get("campaignId") for _, body in calls] == [None, 5, None]


def test_d13_campaigns_in_any_spelling_are_sent() -> None:
    """Text and ids above int32 too."""
    calls, _ = replayed(batch(opened("77"), opened(3_000_000_000)))
    assert [body["campaignId"] for _, body in calls[1:]] == [77, 3_000_000_000]


def test_d14_the_address_is_found_wherever_it_stands() -> None:
    """In second place too, and an id of another kind is never taken for an address."""
    customer = {"type": "customer", "encoding": "raw", "value": "c-1"}
    added = [customer, email("new@example.com")]
    change = {"type": "user_identity_change", "added": added, "removed": [customer, email("old@example.com")]}
    calls, _ = replayed(batch(change))
    assert calls[0] == ("users/updateEmail", {"currentEmail": "old@example.com", "newEmail": "new@example.com"})
    change["removed"] = [customer]
    calls, _ = replayed(batch(change, device_application_stamp="das"))
    assert calls[0][1] == {"currentEmail": "das@placeholder.email", "newEmail": "new@example.com"}


def test_d15_phone_numbers_stay_text() -> None:
    """With coercion on."""
    account = {"account_id": 7, "account_settings": {"apiKey": "key-1", "coerceStringsToScalars": "True"}}
    calls, _ = replayed(batch(user_attributes={"$Mobile": "+12 345 6789", "n": "7"}, account=account))
    assert calls[0][1]["dataFields"] == {"phoneNumber": "+123456789", "n": 7}


def test_d16_one_push_is_opened_once() -> None:
    """The receipt of a push that was opened in the same batch says nothing new; a receipt alone is an open."""
    receipt = opened(5, "push_message_receipt", messageId="m")
    assert endpoints(batch(receipt, opened(5, messageId="m"))) == ["users/update", "events/trackPushOpen"]
    assert endpoints(batch(receipt, opened(5, messageId="n")))[1:] == ["events/trackPushOpen"] * 2
    nameless = opened(5, "push_message_receipt")
    assert endpoints(batch(nameless, opened(5)))[1:] == ["events/trackPushOpen"] * 2


@pytest.mark.parametrize("encoding", ["md5", "sha1", "sha256", "brand_new"])
def test_d17_a_hash_is_no_address(encoding: str) -> None:
    """The user gets a placeholder; the address of one who had a hashed one can not be changed."""
    change = {"type": "user_identity_change", "added": [email("b@example.com")], "removed": [email("h", encoding)]}
    request = batch(change, user_identities=[email("h", encoding)], device_application_stamp="das")
    assert replayed(request)[0] == [("users/update", {"email": "das@placeholder.email"})]


@pytest.mark.parametrize("missing", ["token", "gcmIntegrationName"])
def test_d19_a_device_that_iterable_must_refuse_is_not_sent(missing: str) -> None:
    """Without a token, or without the application that the customer may leave out."""
    settings = {"apiKey": "key-1", "gcmIntegrationName": "app"}
    settings.pop(missing, None)
    event = {"type": "push_subscription"} | ({} if missing == "token" else {"token": "t"})
    account = {"account_id": 7, "account_settings": settings}
    assert endpoints(batch(event, account=account, runtime_environment={"type": "android"})) == ["users/update"]


def test_d20_profiles_without_any_id_are_nobody() -> None:
    """They do not become one user of all."""
    request = audience(profile(None, ("1", "add")), profile(None, ("1", "add"), mpid="-5"), userIdField="mpid")
    members = [{"email": "-5@placeholder.email", "userId": "-5"}]
    assert replayed(request)[0] == [("lists/subscribe", {"listId": 1, "subscribers": members})]


def test_d21_what_was_removed_and_then_added_is_added() -> None:
    """Adds go before removes, so the earlier removal is left out; an addition that is taken back is not."""
    request = audience(profile("a@example.com", ("1", "delete"), ("1", "add"), ("2", "add"), ("2", "delete")))
    members = [{"email": "a@example.com"}]
    assert replayed(request)[0] == [
        ("lists/subscribe", {"listId": 1, "subscribers": members}),
        ("lists/subscribe", {"listId": 2, "subscribers": members}),
        ("lists/unsubscribe", {"listId": 2, "subscribers": members}),
    ]


def test_the_ping_reads_the_lists_of_the_customers_project() -> None:
    """In its data center, the key in the secret header; without a key it is made all the same, for a 401."""
    european = Iterable.from_env({"ITERABLE_DATA_CENTER": "eu"})
    ping = european.ping({"apiKey": "canary-0123456789"})
    assert (ping.method, ping.url, ping.body) == ("GET", "https://api.eu.iterable.com/api/lists", b"")
    assert {name: secret.value for name, secret in ping.secret_headers.items()} == {"Api-Key": "canary-0123456789"}
    assert_sound([ping], secrets=["canary-0123456789"])
    assert european.ping({}).secret_headers == {}
    with pytest.raises(InvalidRequest, match="apiKey"):
        european.ping({"apiKey": "canary\r\nX: 1"})
