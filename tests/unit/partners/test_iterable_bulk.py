"""Bulk mode: what is merged within which limits, and how a 200 is taken apart."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from partners import Delivery, Rate, Result, load_partner
from partners.iterable import Iterable
from shared.errors import InvalidSettings
from shared.firehose import parse_request
from shared.message import Head, encode, to_json
from testkit import PartnerApi
from testkit.harness import Harness
from tests.fakes.iterable_api import FakeIterable

BULK = Iterable(is_bulk=True)


def email(address: str) -> dict[str, str]:
    return {"type": "email", "encoding": "raw", "value": address}


def batch(number: int, *events: dict[str, Any], **fields: Any) -> dict[str, Any]:
    timed = [{"id": f"{number}.{place}", "timestamp_ms": place, **event} for place, event in enumerate(events)]
    return {
        "type": "event_processing_request",
        "id": f"r{number}",
        "account": {"account_id": 7, "account_settings": {"apiKey": "key-1"}},
        "mpid": str(number),
        "user_identities": [email(f"u{number}@example.com")],
        "events": timed,
        **fields,
    }


def custom(name: str = "viewed", **fields: Any) -> dict[str, Any]:
    return {"type": "custom_event", "name": name, **fields}


def audience(number: int, *changes: tuple[int, str], users: Sequence[str] = ("a@example.com",)) -> dict[str, Any]:
    audiences = [{"audience_subscription_settings": {"listId": one}, "action": action} for one, action in changes]
    return {
        "type": "audience_membership_change_request",
        "id": f"r{number}",
        "account": {"account_id": 7, "account_settings": {"apiKey": "key-1"}},
        "user_profiles": [{"user_identities": [email(user)], "audiences": audiences} for user in users],
    }


def worked(*requests: dict[str, Any]) -> tuple[FakeIterable, dict[str, str]]:
    """What Iterable holds after one receive, and why messages were dead-lettered, by message."""
    api = FakeIterable()
    harness = Harness(BULK, PartnerApi(lambda call: api.answer(call.delivery)), max_in_flight=4)
    bodies = [encode(Head(one["id"], one["type"], "7", 1_790_000_000_000), to_json(one))[0] for one in requests]
    harness.work(bodies, receives=1)
    return api, {number: end.reason for number, end in harness.queue.ends.items() if end.reason}


def deliveries(request: dict[str, Any]) -> list[Delivery]:
    return list(BULK.deliveries(parse_request(request)))


def test_profiles_and_events_of_many_messages_travel_together() -> None:
    """Two calls instead of sixty; what has no bulk form goes alone."""
    api, _ = worked(*(batch(number, custom(), custom()) for number in range(20)))
    assert api.calls == {"users/bulkUpdate": 1, "events/trackBulk": 1}
    assert (len(api.users), len(api.events)) == (20, 40)
    api, _ = worked(batch(1, custom(), {"type": "product_action", "action": "purchase", "products": []}))
    assert api.calls == {"users/bulkUpdate": 1, "events/trackBulk": 1, "commerce/trackPurchase": 1}


def test_list_changes_travel_together_by_list() -> None:
    """One call for each list and direction, whichever messages they came in."""
    changes = [audience(number, (1, "add"), (2, "delete"), users=[f"u{number}@example.com"]) for number in range(20)]
    api, _ = worked(*changes, audience(99, (3, "add"), users=["a@example.com", "b@example.com"]))
    assert api.calls == {"lists/subscribe": 2, "lists/unsubscribe": 1}
    assert {list_id: len(members) for list_id, members in api.lists.items()} == {1: 20, 3: 2}


def test_a_call_alone_is_the_bulk_call_too() -> None:
    """A user's data never go both ways: Iterable works on bulk and single calls apart."""
    [profile, event] = deliveries(batch(1, custom()))
    assert profile.url.endswith("/api/users/bulkUpdate")
    assert json.loads(profile.body) == {"users": [{"email": "u1@example.com"}]}
    assert event.url.endswith("/api/events/trackBulk")
    assert [one["eventName"] for one in json.loads(event.body)["events"]] == ["viewed"]


def test_a_purchase_brings_no_profile_of_its_own() -> None:
    """The profile went in bulk."""
    purchase = {"type": "product_action", "action": "purchase", "total_amount": 5, "products": []}
    [_, sold] = deliveries(batch(1, purchase, user_attributes={"plan": "pro"}))
    assert json.loads(sold.body)["user"] == {"email": "u1@example.com"}


def test_limits_are_those_of_each_endpoint() -> None:
    """1,000 users and 4 MB at 5 calls a second, 8,000 events at 10; lists by setting."""
    env = {"PARTNER": "partners.iterable", "ITERABLE_MODE": "bulk", "ITERABLE_LIST_RATE": "5"}
    bulk = load_partner(env).limits.bulk
    assert (bulk["users/bulkUpdate"].items, bulk["users/bulkUpdate"].bytes) == (1_000, 4_000_000)
    assert bulk["users/bulkUpdate"].rate == Rate(5)
    assert (bulk["events/trackBulk"].items, bulk["events/trackBulk"].rate) == (8_000, Rate(10))
    assert bulk["lists/subscribe"].rate == bulk["lists/unsubscribe"].rate == Rate(5)
    for variable, value in (("ITERABLE_MODE", "both"), ("ITERABLE_LIST_RATE", "fast")):
        with pytest.raises(InvalidSettings, match=variable):
            load_partner(env | {variable: value})


def test_more_users_than_a_call_takes_are_several_calls() -> None:
    """1,001 users in one batch."""
    api, _ = worked(*(batch(number) for number in range(1_001)))
    assert api.calls == {"users/bulkUpdate": 2}
    assert len(api.users) == 1_001


def test_one_user_has_one_entry_in_a_call() -> None:
    """Two updates of a user in one batch become one, in which the later says what counts."""
    api, _ = worked(
        batch(1, user_attributes={"a": "1", "b": "1"}),
        batch(1, id="again", user_attributes={"b": "2", "c": "2"}),
    )
    [(_, body)] = api.log
    assert body == {"users": [{"email": "u1@example.com", "dataFields": {"a": "1", "b": "2", "c": "2"}}]}


def test_an_address_is_changed_before_and_not_beside_the_update() -> None:
    """Messages of one user go one after the other, those of others beside them."""
    change = {"type": "user_identity_change", "added": [email("new@example.com")], "removed": [email("u1@example.com")]}
    known = [email("new@example.com")]
    api, _ = worked(batch(1), batch(1, change, id="later", user_identities=known), batch(2))
    assert [endpoint for endpoint, _ in api.log] == ["users/bulkUpdate", "users/updateEmail", "users/bulkUpdate"]
    assert [one["email"] for one in api.log[0][1]["users"]] == ["u1@example.com", "u2@example.com"]


def test_what_is_refused_in_a_200_is_refused_alone() -> None:
    """A bad address, an event name that the project does not take: their messages are dead-lettered, others arrive."""
    api, letters = worked(
        batch(1, custom()), batch(2, user_identities=[email("nowhere")]), batch(3, custom("not allowed"))
    )
    assert letters == {"m-1": "rejected", "m-2": "rejected"}
    assert set(api.users) == {"u1@example.com", "u3@example.com"}
    assert set(api.events) == {"1.0"}


def test_what_a_whole_call_is_refused_for_is_found_and_refused_alone() -> None:
    """A 400 for all of it: the call is halved until the culprit is alone."""
    requests = [batch(number, custom()) for number in range(8)]
    requests[5]["events"][0]["attributes"] = {"poison": "1"}
    api, letters = worked(*requests)
    assert set(letters) == {"m-5"}
    assert len(api.events) == 7


D, R, X = Result.DELIVERED, Result.RETRY, Result.REJECTED


def read(requests: Sequence[dict[str, Any]], answer: Any, status: int = 200) -> Sequence[Result] | None:
    made = [one for request in requests for one in deliveries(request)]
    endpoint = made[-1].merge
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return BULK.read_response([one for one in made if one.merge == endpoint], status, body)


TWO = [batch(1), batch(2)]


@pytest.mark.parametrize(
    ("answer", "results"),
    [
        ({"successCount": 2, "failCount": 0, "failedUpdates": {"invalidEmails": []}}, None),
        ({"failCount": 1, "failedUpdates": {"invalidEmails": ["u2@example.com"]}}, [D, X]),
        ({"failCount": 1, "invalidEmails": ["u1@example.com"]}, [X, D]),
        ({"failCount": 1, "failedUpdates": {"conflictEmails": ["u1@example.com"]}}, [X, D]),
        ({"failCount": 1, "failedUpdates": {"forgottenEmails": ["u1@example.com"]}}, [X, D]),
        ({"failCount": 1, "failedUpdates": {"invalidDataEmails": ["u1@example.com"]}}, [X, D]),
        ({"failCount": 1, "failedUpdates": {"notFoundEmails": ["u1@example.com"]}}, [X, D]),
        ({"failCount": 1}, [R, R]),
        ({"failCount": 2, "failedUpdates": {"invalidEmails": ["u1@example.com"]}}, [X, R]),
        ({"failCount": 1, "failedUpdates": "none"}, [R, R]),
        ({"code": "BadParams"}, [X, X]),
        (b"<html>", [R, R]),
        (b"", None),
        (b"null", None),
        ([], None),
    ],
)
def test_an_answer_says_who_was_refused(answer: Any, results: list[Result] | None) -> None:
    """By address; a failure that is nobody's by name is everybody's who was not named, and they are sent again."""
    assert read(TWO, answer) == results


def test_several_updates_of_one_user_are_one_failure() -> None:
    """They were one entry: a second failure is somebody else's."""
    answer = {"failCount": 2, "failedUpdates": {"invalidEmails": ["u1@example.com"]}}
    assert read([batch(1), batch(1), batch(2)], answer) == [X, X, R]
    assert read([batch(1), batch(1), batch(2)], answer | {"failCount": 1}) == [X, X, D]


def test_users_are_named_by_their_id_too() -> None:
    """`...UserIds`."""
    known = [email("u1@example.com"), {"type": "customer", "encoding": "raw", "value": "c-1"}]
    requests = [batch(1, user_identities=known), batch(2)]
    assert read(requests, {"failCount": 1, "failedUpdates": {"conflictUserIds": ["c-1"]}}) == [X, D]


def test_events_are_named_by_their_name() -> None:
    """`disallowedEventNames` means each event of that name."""
    answer = {"failCount": 2, "disallowedEventNames": ["bad"]}
    assert read([batch(1, custom("bad"), custom("good")), batch(2, custom("bad"))], answer) == [X, D, X]


def test_who_was_not_on_the_list_is_off_it() -> None:
    """Not found is no failure of an unsubscription."""
    change = audience(1, (1, "delete"), users=["a@example.com", "b@example.com"])
    answer = {"failCount": 1, "failedUpdates": {"notFoundEmails": ["a@example.com"]}}
    assert read([change], answer) == [D, D]
    answer = {
        "failCount": 2,
        "failedUpdates": {"notFoundEmails": ["a@example.com"], "invalidEmails": ["b@example.com"]},
    }
    assert read([change], answer) == [D, X]


@pytest.mark.parametrize("status", [400, 409, 413, 429, 500])
def test_other_answers_mean_what_their_status_means(status: int) -> None:
    """The worker halves what is refused as a whole, and repeats what is limited."""
    assert read(TWO, {"code": "RateLimitExceeded"}, status) is None
