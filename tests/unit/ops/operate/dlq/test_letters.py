import json
from typing import Any

import pytest

from ops.console.moments import past_ms, since_ms
from ops.operate.dlq.filters import Filter
from ops.operate.dlq.groups import Groups, kind_of
from ops.operate.dlq.letters import KNOWN, Letter
from ops.operate.dlq.masks import masked
from shared.errors import InvalidSettings
from shared.message import EVENTS, Head, decode, encode, to_json
from shared.queue.attributes import MAX_ATTRIBUTES
from testkit.records import record
from worker_fn.batch.disposition import DeadLetter, Reason
from worker_fn.batch.job import Job
from worker_fn.batch.record import Record
from worker_fn.batch.settle import REDRIVEN, letter_attributes

NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
REQUEST = {
    "type": EVENTS,
    "id": "5f0c8a1e-0000-4000-8000-000000000001",
    "account": {"account_id": 7},
    "events": [{"type": "custom_event", "event_name": "bought", "custom_attributes": {"price": 12.5, "big": 9e400}}],
}


def letter(body: str | None = None, *, letter_id: str = "l1", sent_ms: int = NOW_MS, **said: str) -> Letter:
    if body is None:
        (body,) = encode(
            Head(str(REQUEST["id"]), EVENTS, "7", 1_789_999_000_000),
            to_json(
                {
                    **REQUEST,
                    "events": [{"type": "custom_event", "event_name": "bought", "custom_attributes": {"price": 12.5}}],
                }
            ),
        )
    return Letter(letter_id, body, {n: {"DataType": "String", "StringValue": v} for n, v in said.items()}, sent_ms)


# --- what is told ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, ("none", "-", "", EVENTS, "7")),
        ({"reason": "rejected", "status": "422", "error": "HTTP 422", "type": EVENTS, "account_id": "9"},
         ("rejected", "422", "HTTP 422", EVENTS, "9")),
        ({"reason": "jane", "status": "4220", "error": "jane", "type": "jane", "account_id": "ja ne"},
         ("other", "other", "", "other", "other")),
        ({"reason": "rejected", "error": "bad jane@example.com"}, ("rejected", "-", "bad ***", EVENTS, "7")),
        ({"reason": "rejected", "error": "\x1b[31m"}, ("rejected", "-", "", EVENTS, "7")),
    ],
)  # fmt: skip
def test_a_letter_tells_what_only_we_can_have_written(said: dict[str, str], told: tuple[str, ...]) -> None:
    """Where an attribute is missing, its body's envelope says it."""
    one = letter(**said)
    assert (one.reason, one.status, one.error, one.type, one.account_id) == told


def test_what_the_worker_writes_is_known() -> None:
    """Each attribute of a letter that was redriven and died again; SQS takes no more than there are."""
    came = record(1, ["422"])
    came["messageAttributes"] = {name: {"dataType": "String", "stringValue": "1"} for name in REDRIVEN}
    job = Job(Record(came), message=decode(came["body"]))
    written = letter_attributes(job, DeadLetter(Reason.REJECTED, "HTTP 422", 422, 1), "acme")
    assert set(written) == set(KNOWN)
    assert len(written) <= MAX_ATTRIBUTES


@pytest.mark.parametrize(
    "body", ["", "\x00", "{", "[]", "nul\x00", "{" * 100_000, '{"v":99}', "\ud800", "x" * 1_048_576]
)
def test_any_body_is_a_letter(body: str) -> None:
    """Nobody can read it, and it is told of all the same."""
    one = letter(body)
    assert one.message is None
    assert (one.reason, one.type, one.account_id, one.request_id) == ("none", "-", "-", None)
    assert not Filter(where="events").matches(one)


# --- filters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "fits"),
    [
        (Filter(), True),
        (Filter(reasons={"rejected", "unmappable"}), True),
        (Filter(reasons={"unmappable"}), False),
        (Filter(statuses={"422"}, accounts={"7"}), True),
        (Filter(statuses={"422"}, accounts={"8"}), False),
        (Filter(types={"events"}), True),
        (Filter(types={EVENTS}), True),
        (Filter(types={"erasure"}), False),
        (Filter(ids={"l1"}), True),
        (Filter(ids={str(REQUEST["id"])}), True),
        (Filter(ids={"l"}), False),
        (Filter(since_ms=NOW_MS, until_ms=NOW_MS), True),
        (Filter(since_ms=NOW_MS + 1), False),
        (Filter(until_ms=NOW_MS - 1), False),
        (Filter(where="events[?event_name=='bought']"), True),
        (Filter(where="events[?event_name=='sold']"), False),
        (Filter(where="events[0].custom_attributes.price > `10`"), True),
        (Filter(where="events[0].custom_attributes.price > `20`"), False),
        (Filter(where="account.account_id == `7`"), True),
        (Filter(where="length(account.account_id)"), False),
        (Filter(where="nothing"), False),
        (Filter(where="`0`"), True),
    ],
)
def test_everything_that_is_named_has_to_fit(chosen: Filter, fits: bool) -> None:
    assert chosen.matches(letter(reason="rejected", status="422")) is fits


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"reasons": {"rejected", "reject"}}, "--reason is one of .*too_old.*: not 'reject'"),
        ({"reasons": {""}}, "--reason is one of"),
        ({"reasons": {"\x1b[31m"}}, r"not '\\\\x1b\[31m'"),
        ({"types": {"event"}}, "--type is one of .*events.*: not 'event'"),
        ({"statuses": {"4xx"}}, "--status .* not '4xx'"),
        ({"statuses": {"4220"}}, "--status"),
        ({"statuses": {"\uff14\uff12\uff12"}}, "--status"),
        ({"since_ms": 2, "until_ms": 1}, "--until must be later than --since"),
    ],
)
def test_what_no_letter_can_have_is_refused(named: dict[str, Any], said: str) -> None:
    """Rather than told that nothing matches."""
    with pytest.raises(InvalidSettings, match=said):
        Filter(**named)


@pytest.mark.parametrize(
    "named", [{"reasons": {"none", "other"}}, {"statuses": {"-", "other", "599"}}, {"types": {"-", "other", "events"}}]
)
def test_what_a_screen_shows_of_a_letter_can_be_asked_for(named: dict[str, Any]) -> None:
    """Also that it says nothing, or something that is not ours."""
    Filter(**named)


@pytest.mark.parametrize("where", ["events[", f"events[{'9' * 5_000}]", "(" * 3_000, "!" * 3_000 + "a", "[" * 3_000])
def test_an_expression_that_is_none_is_refused_in_a_line(where: str) -> None:
    """Also one that its parser is not made for."""
    with pytest.raises(InvalidSettings, match="--where is no JMESPath expression") as raised:
        Filter(where=where)
    assert "\n" not in str(raised.value)


def test_a_filter_in_words_says_nothing_of_where() -> None:
    """An expression may name a person; of many ids some are named."""
    chosen = Filter(reasons={"rejected"}, ids=set("abcde"), where="users[?email=='jane@example.com']", since_ms=0)
    assert chosen.said() == "reason rejected, id a/b/c and 2 more, where …"
    assert "jane" not in repr(chosen)


def test_a_time_that_no_calendar_has_is_said_in_words() -> None:
    """So far back as one can write, and so far ahead."""
    assert Filter(until_ms=since_ms("9999-12-31T23:59-14:00", now_ms=NOW_MS)).said() == "until the end of time"
    assert Filter(until_ms=since_ms("999999d", now_ms=NOW_MS)).said() == "until 1970-01-01 00:00:00Z"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("999999d", 0),
        ("0001-01-01T00:00+14:00", 0),
        ("90min", NOW_MS - 90 * 60_000),
        ("3h", NOW_MS - 3 * HOUR_MS),
        ("2d", NOW_MS - 48 * HOUR_MS),
        ("2026-11-24T10:00Z", 1_795_514_400_000),
        ("2026-11-24 10:00", 1_795_514_400_000),
        ("2026-11-24T12:00+02:00", 1_795_514_400_000),
    ],
)
def test_a_moment_is_a_time_or_how_long_ago(text: str, moment: int) -> None:
    assert since_ms(text, now_ms=NOW_MS) == moment


@pytest.mark.parametrize("text", ["yesterday", "3", "h", "-3h", "9999999d", "2026-13-01", "\x1b[31m"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettings, match="is no time"):
        since_ms(text, now_ms=NOW_MS)


def test_nothing_is_looked_for_since_a_moment_that_is_to_come() -> None:
    """It would find nothing, whatever there is."""
    assert past_ms("2d", now_ms=NOW_MS) == NOW_MS - 48 * HOUR_MS
    with pytest.raises(InvalidSettings, match="'2099-01-01' is still to come"):
        past_ms("2099-01-01", now_ms=NOW_MS)


# --- groups ---------------------------------------------------------------------------------------------------------


def test_letters_are_grouped_by_kind_and_each_group_has_a_sample() -> None:
    """Counts within an error make no kind of their own; the largest group is first."""
    groups = Groups(now_ms=NOW_MS)
    for number in range(5):
        error = f"HTTP 422 for {number} of 9 deliveries"
        groups.add(letter(letter_id=f"a{number}", reason="rejected", status="422", error=error))
    groups.add(letter(letter_id="b", reason="unmappable", error="KeyError in acme.py:41", sent_ms=NOW_MS - HOUR_MS))
    first, second = groups.largest_first()
    assert (first.count, first.sample[0], first.key[2]) == (5, "a", "HTTP 422 for # of # deliveries")
    assert (second.count, second.sample, second.oldest_ms) == (1, "b", NOW_MS - HOUR_MS)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("HTTP 422 for 3 of 9 deliveries", "HTTP 422 for # of # deliveries"),
        ("KeyError in acme.py:41", "KeyError in acme.py:41"),
        ("HTTP 503 50 times, while other calls succeed", "HTTP 503 # times, while other calls succeed"),
        ("timeout after 72 hours", "timeout after # hours"),
    ],
)
def test_an_errors_kind_is_without_its_counts(error: str, kind: str) -> None:
    assert kind_of(error) == kind


def test_groups_by_age_and_those_that_leave() -> None:
    groups = Groups(("age",), now_ms=NOW_MS)
    for hours in (0, 2, 7, 30, 80, 13.5 * 24):
        groups.add(letter(sent_ms=NOW_MS - int(hours * HOUR_MS)))
    assert {one.key[0] for one in groups.largest_first()} == {
        "under 1 h", "1 to 6 h", "6 to 24 h", "1 to 3 d", "over 3 d",
    }  # fmt: skip
    assert groups.leaving == 1


def test_groups_have_a_bound() -> None:
    """Of many thousand kinds the last are counted together."""
    groups = Groups(("account",), now_ms=NOW_MS)
    for number in range(6_000):
        groups.add(letter("x", account_id=str(number)))
    assert (len(groups), groups.count) == (5_001, 6_000)


# --- masks ----------------------------------------------------------------------------------------------------------

CANARIES = {
    "type": EVENTS,
    "id": "5f0c8a1e-0000-4000-8000-000000000001",
    "timestamp_ms": 1_789_999_000_000,
    "CANARY1": 1,
    "account": {"account_id": 7, "account_settings": {"apiKey": "CANARY2", "CANARY3": "x", "id": "CANARY4"}},
    "user_identities": [{"type": "email", "encoding": "raw", "value": "CANARY5"}],
    "user_attributes": {"CANARY6": "CANARY7", "name": "CANARY8", "$city": ["CANARY9"], "email": {"CANARY10": True}},
    "runtime_environment": {"type": "ios", "name": "CANARY11", "client_ip_address": "CANARY12", "is_debug": True},
    "mpid": "8675309",
    "events": [
        {
            "type": "custom_event",
            "id": "CANARY13",
            "name": "CANARY14", "event_name": "CANARY14",
            "custom_attributes": {"CANARY15": "CANARY16"},
            "timestamp_ms": 1_789_999_000_000,
            "location": {"latitude": 52.123, "longitude": 13.456},
        }
    ] * 9,
}  # fmt: skip


def test_a_masked_payload_keeps_its_shape_and_nothing_of_anybody() -> None:
    """Names of the protocol's, its enumerated words, UUIDs and times; of a long list the first."""
    shown = masked(CANARIES)
    text = json.dumps(shown)
    for canary in ("CANARY", "52.123", "13.456", "8675309", "true", "$city"):
        assert canary not in text, canary
    assert (shown["type"], shown["id"], shown["timestamp_ms"]) == (EVENTS, CANARIES["id"], 1_789_999_000_000)
    assert shown["account"]["account_id"] == 7
    assert shown["events"][0]["type"] == "custom_event"
    assert shown["events"][0]["name"] == "***"
    assert shown["events"][3] == "… 6 more"
    assert shown["user_attributes"]["***"] == "4 by names of the sender's own"


@pytest.mark.parametrize("value", ["CANARY", 5, 5.5, True, "jane@example.com", "+49 151", ["CANARY"], {"CANARY": 1}])
@pytest.mark.parametrize("name", ["type", "id", "name", "timestamp_ms", "account_id", "email", "CANARY"])
def test_no_value_is_shown_that_is_not_the_protocols(name: str, value: object) -> None:
    text = json.dumps(masked({name: value}))
    assert "CANARY" not in text
    assert "jane" not in text
    assert "151" not in text
    assert "true" not in text
    if name not in {"timestamp_ms", "account_id"}:
        assert "5" not in text
