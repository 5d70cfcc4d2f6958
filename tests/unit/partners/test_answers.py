"""Answers to bulk calls: read in proportion to their size, and in any shape without raising."""

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from partners import Delivery, Partner, Result
from partners.amplitude import AFTER, BEFORE, Amplitude
from partners.iterable import Iterable

MOST_GROWTH = 3.0
"""Of the time for an answer twice as large; a quadratic reader takes four times as long."""
LEAST_S = 1e-3
"""What is quicker is not told apart from what the machine does beside it."""


def users(count: int) -> list[Delivery]:
    url = "https://api.iterable.com/api/users/bulkUpdate"
    bodies = [json.dumps({"users": [{"email": f"u{n}@example.com"}]}).encode() for n in range(count)]
    return [Delivery(url, body, f"u{n}", merge="users/bulkUpdate") for n, body in enumerate(bodies)]


def events(count: int) -> list[Delivery]:
    url = "https://api.iterable.com/api/events/trackBulk"
    bodies = [json.dumps({"events": [{"email": "u@example.com", "eventName": f"n{n}"}]}).encode() for n in range(count)]
    return [Delivery(url, body, f"e{n}", merge="events/trackBulk") for n, body in enumerate(bodies)]


def uploads(count: int) -> list[Delivery]:
    bodies = [json.dumps({"user_id": f"u{n}", "device_id": f"d{n}"}).encode() for n in range(count)]
    url = "https://api2.amplitude.com/batch"
    return [Delivery(url, BEFORE + body + AFTER, f"e{n}", merge="batch") for n, body in enumerate(bodies)]


def emails(count: int) -> Any:
    """Half of those who are named are none of ours."""
    named = [f"u{n}@example.com" for n in range(0, 2 * count, 2)]
    return {"failCount": count, "failedUpdates": {"invalidEmails": named}, "conflictEmails": named}


GROWING = [
    ("iterable users", Iterable(is_bulk=True), users, 200, emails),
    ("iterable names", Iterable(is_bulk=True), events, 200,
     lambda count: {"failCount": count, "disallowedEventNames": [f"n{n}" for n in range(1, 2 * count, 2)]}),
    ("iterable many lists", Iterable(is_bulk=True), users, 200,
     lambda count: {"failCount": 1, **{f"{n}Emails": ["x"] for n in range(count)}}),
    ("amplitude places", Amplitude(), uploads, 400,
     lambda count: {"events_with_invalid_fields": {f"f{n}": list(range(5)) for n in range(count)}}),
    ("amplitude one list", Amplitude(), uploads, 400, lambda count: {"throttled_events": list(range(count))}),
    ("amplitude users", Amplitude(), uploads, 400,
     lambda count: {"throttled_users": {f"u{n}": 1 for n in range(count)}, "throttled_devices": {"d1": 5}}),
]  # fmt: skip


@pytest.mark.parametrize(("partner", "deliveries", "status", "answer"), [one[1:] for one in GROWING],
                         ids=[one[0] for one in GROWING])  # fmt: skip
def test_time_grows_with_the_answer_and_no_faster(partner: Partner, deliveries: Any, status: int, answer: Any) -> None:
    """Twice as many items, and twice as many of them named, take twice as long."""
    count = 2_000
    short, long = (
        (deliveries(many), json.dumps(answer(many)).encode()) for many in (count, 2 * count)
    )  # fmt: skip
    growth = min(
        (best_s(partner, long[0], status, long[1]) + LEAST_S) / (best_s(partner, short[0], status, short[1]) + LEAST_S)
        for _ in range(3)
    )
    assert growth < MOST_GROWTH


def best_s(partner: Partner, deliveries: Sequence[Delivery], status: int, body: bytes) -> float:
    times_s = []
    for _ in range(3):
        began_s = time.perf_counter()
        partner.read_response(deliveries, status, body)
        times_s.append(time.perf_counter() - began_s)
    return min(times_s)


D, R, X, A = Result.DELIVERED, Result.RETRY, Result.REJECTED, Result.AGAIN
NAMED = {"failedUpdates": {"invalidEmails": ["u1@example.com"]}}


@pytest.mark.parametrize(
    ("answer", "results"),
    [
        ({"failCount": "x"}, [R, R]),
        ({"failCount": "x", **NAMED}, [R, X]),
        ({"failCount": True, **NAMED}, [R, X]),
        ({"failCount": [1], **NAMED}, [R, X]),
        ({"failCount": 0.5, **NAMED}, [R, X]),
        ({"failCount": 10**400, **NAMED}, [R, X]),
        ({"failCount": "1", **NAMED}, [D, X]),
        ({"failCount": 1.0, **NAMED}, [D, X]),
        ({"failCount": None, **NAMED}, [D, X]),
        ({"failCount": -1, **NAMED}, [D, X]),
        ({"failCount": 0, **NAMED}, [D, X]),
        (NAMED, [D, X]),
        ({"failCount": 0, "failedUpdates": {"invalidEmails": ["other@example.com"]}}, [D, D]),
        ({"failCount": 1, "failedUpdates": {"invalidEmails": [["u1@example.com"], {"a": 1}, None, 1]}}, [R, R]),
        ({"failCount": 1, "failedUpdates": [["u1@example.com"]]}, [R, R]),
        ({"failCount": 1, "invalidEmails": {"u1@example.com": 1}}, [R, R]),
        ({"failCount": 1, "invalidEmails": ["u1@example.com"] * 50}, [D, X]),
        ({"failCount": 1, "code": {"a": 1}, **NAMED}, [D, X]),
        ({"failCount": 1, "failedUpdates": {"invalidEmails": ["U1@Example.com"]}}, [D, X]),
    ],
)
def test_an_answer_of_iterable_s_in_any_shape(answer: Any, results: list[Result] | None) -> None:
    """Who is named is refused; how many failed, if that cannot be read, may be all the others: they are sent again."""
    assert Iterable(is_bulk=True).read_response(users(2), 200, json.dumps(answer).encode()) == results


def test_who_is_not_found_twice_is_one() -> None:
    """A list that repeats an address explains no second failure."""
    url = "https://api.iterable.com/api/lists/unsubscribe"
    bodies = [json.dumps({"subscribers": [{"email": f"u{n}@example.com"}], "listId": 5}).encode() for n in range(2)]
    members = [Delivery(url, body, f"u{n}", merge="lists/unsubscribe") for n, body in enumerate(bodies)]
    answer = {"failCount": 2, "failedUpdates": {"notFoundEmails": ["u0@example.com"] * 2}}
    assert Iterable(is_bulk=True).read_response(members, 200, json.dumps(answer).encode()) == [R, R]


@pytest.mark.parametrize(
    ("answer", "results"),
    [
        ({"events_with_invalid_fields": {"time": [1, 1, 1]}}, [A, X]),
        ({"events_with_invalid_fields": [[1], {"1": 1}, "1", 1.0, True, None, -1, 2, 10**400]}, None),
        ({"events_with_invalid_fields": {"time": {"a": [1]}}}, None),
        ({"events_with_invalid_fields": {"time": 1}, "silenced_events": [-2, 0]}, [X, A]),
        ({"throttled_users": ["u1"]}, None),
        ({"throttled_users": {"u1": None}, "throttled_devices": "d0"}, [A, R]),
        ({"error": ["Invalid API key"], "silenced_events": [0]}, [X, A]),
        ({"error": {"Invalid API key": 1}}, None),
    ],
)
def test_an_answer_of_amplitude_s_in_any_shape(answer: Any, results: list[Result] | None) -> None:
    """Places that are none, negative, out of range, or said twice name nobody else."""
    assert Amplitude().read_response(uploads(2), 400, json.dumps(answer).encode()) == results


UNREADABLE = [b"", b"<html>", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"null", b"[]", b'"text"', b"9" * 5_000]


@pytest.mark.parametrize("body", UNREADABLE, ids=range(len(UNREADABLE)))
@pytest.mark.parametrize("status", [200, 207, 400, 429, 503])
def test_what_cannot_be_read_raises_nothing(status: int, body: bytes) -> None:
    """Nobody is refused for it, and what was not taken is not delivered."""
    for partner, deliveries in ((Iterable(is_bulk=True), users(2)), (Amplitude(), uploads(2))):
        said = partner.read_response(deliveries, status, body)
        assert said in (None, [R, R])
