"""Bulk mode leaves Iterable in the state that single mode does, whatever is sent, refused or fails on the way."""

import json
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from partners import Delivery
from partners.iterable import Iterable
from shared.message import Head, encode, to_json
from testkit import PartnerApi
from testkit.harness import Harness
from tests.fakes.iterable_api import REFUSED_NAME, FakeIterable
from worker_fn.clients.http import Answer

ACCOUNT = {
    "account_id": 7,
    "account_settings": {"apiKey": "key-1", "coerceStringsToScalars": "True", "gcmIntegrationName": "app"},
}
PAYLOAD = json.dumps({"itbl": json.dumps({"campaignId": 5, "templateId": 6})})

users = st.integers(0, 4)
texts = st.sampled_from(["1", "1.5", "true", "x", ""])
attributes = st.dictionaries(st.sampled_from(["a", "b", "$Mobile"]), texts, max_size=3)
custom_events = st.fixed_dictionaries(
    {
        "type": st.just("custom_event"),
        "name": st.sampled_from(["viewed", "viewed", "bought", REFUSED_NAME, "subscriptionsUpdated"]),
        "attributes": st.one_of(
            attributes,
            st.just({"poison": "1"}),
            st.dictionaries(st.just("emailListIds"), st.sampled_from(["1,2", "x"])),
        ),
    }
)
other_events = st.sampled_from(
    [
        {"type": "product_action", "action": "purchase", "total_amount": 5, "products": [{"id": "p"}]},
        {"type": "product_action", "action": "purchase"},
        {"type": "push_message_open", "payload": PAYLOAD},
        {"type": "push_subscription", "token": "t"},
        {"type": "session_start"},
    ]
)
changes = st.sampled_from(["add", "change"])


@st.composite
def batches(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Messages of a few users, some of them unknown, some with an address that nobody takes."""
    requests: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 14))):
        if draw(st.integers(0, 3)) == 0:
            requests.append(draw(audience_changes(number)))
        else:
            requests.append(draw(event_batches(number)))
    return requests


@st.composite
def event_batches(draw: st.DrawFn, number: int) -> dict[str, Any]:
    user = draw(users)
    events = draw(st.lists(st.one_of(custom_events, other_events), max_size=5))
    if draw(st.integers(0, 4)) == 0:
        before = [] if draw(changes) == "add" else [email(f"u{user}@example.com")]
        events = [
            *events,
            {"type": "user_identity_change", "added": [email(f"n{number}@example.com")], "removed": before},
        ]
    timed = [{"id": f"{number}.{place}", "timestamp_ms": place, **event} for place, event in enumerate(events)]
    return {
        "type": "event_processing_request",
        "id": f"r{number}",
        "account": ACCOUNT,
        "mpid": str(user),
        "user_identities": draw(st.sampled_from([[], [email(f"u{user}@example.com")], [email("nowhere")]])),
        "device_application_stamp": f"stamp{user}",
        "user_attributes": draw(attributes),
        "runtime_environment": {"type": "android"},
        "events": timed,
    }


@st.composite
def audience_changes(draw: st.DrawFn, number: int) -> dict[str, Any]:
    """One user's lists, or those of several users of whom no other request tells: only so is there an order."""
    if draw(st.booleans()):
        members, lists = [draw(users)], [str(list_id) for list_id in draw(st.lists(st.integers(1, 3), max_size=4))]
    else:
        members = [10 * number + 10 + one for one in draw(st.lists(users, min_size=2, max_size=5))]
        lists = [str(100 + number)]
    audiences = [
        {"audience_subscription_settings": {"listId": one}, "action": draw(st.sampled_from(["add", "add", "delete"]))}
        for one in lists
    ]
    address = draw(st.sampled_from(["u{}@example.com", "u{}@example.com", "nowhere{}"]))
    profiles = [
        {"mpid": str(one), "user_identities": [email(address.format(one))], "audiences": audiences} for one in members
    ]
    head = {"type": "audience_membership_change_request", "id": f"r{number}", "account": ACCOUNT}
    return {**head, "user_profiles": profiles}


def email(address: str) -> dict[str, str]:
    return {"type": "email", "encoding": "raw", "value": address}


def bodies_of(requests: list[dict[str, Any]]) -> list[str]:
    return [encode(Head(one["id"], one["type"], "7", 1_790_000_000_000), to_json(one))[0] for one in requests]


class Watched(PartnerApi):
    """Sees who has calls in flight: a user must not have one in bulk and one alone at one time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bulk, self.alone = Counter[str](), Counter[str]()

    async def send(self, delivery: Delivery, key: str, timeout_s: float) -> Answer:
        body = json.loads(delivery.body)
        entries = body.get("users") or body.get("events")
        mine, others = (self.bulk, self.alone) if entries else (self.alone, self.bulk)
        who = [one["email"] for one in entries or [body.get("user", body)] if "email" in one]
        assert not any(others[one] for one in who)
        mine.update(who)
        answer = await super().send(delivery, key, timeout_s)
        mine.subtract(who)
        return answer


def delivered(
    requests: list[dict[str, Any]], partner: Iterable, failures: dict[int, Answer]
) -> tuple[FakeIterable, dict[str, str]]:
    """What Iterable holds when nothing waits any more, and the dead letters by message."""
    api = FakeIterable(fails=failures.get)
    watched = Watched(lambda call: api.answer(call.delivery), call_s=0.05)
    harness = Harness(partner, watched, max_in_flight=4)
    harness.work(bodies_of(requests), receives=60, together=True)
    ends = harness.queue.ends
    assert {end.how for end in ends.values()} <= {"delivered", "dead-lettered"}
    return api, {message_id: end.reason for message_id, end in ends.items() if end.reason}


failing = st.dictionaries(
    st.integers(1, 12),
    st.sampled_from([Answer(429), Answer(500), Answer(fault="timeout"), Answer(200, body=b"<html>")]),
    max_size=4,
)


@settings(max_examples=150)
@given(batches(), failing, failing)
def test_bulk_ends_where_single_ends(
    requests: list[dict[str, Any]], single_failures: dict[int, Answer], bulk_failures: dict[int, Answer]
) -> None:
    """The same users, events, purchases, lists and subscriptions, and the same messages dead-lettered."""
    single, single_letters = delivered(requests, Iterable(), single_failures)
    bulk, bulk_letters = delivered(requests, Iterable(is_bulk=True), bulk_failures)
    assert bulk.state == single.state
    assert bulk_letters == single_letters
    assert not {"users/update", "events/track"} & set(bulk.calls)
    for endpoint, body in bulk.log:
        assert endpoint != "commerce/trackPurchase" or "dataFields" not in body["user"]
