"""The facts that a batch logs about its messages: each end has a line."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from partners import Delivery, LeftOut, Partner
from shared.firehose import EventProcessingRequest, Registration, Request
from shared.message import EVENTS, Head, encode, to_json
from shared.telemetry import SAFE_FIELDS, Fact, fact
from testkit.records import raw_record, record
from worker_fn.batch.facts import tell_attempt
from worker_fn.clients.http import Answer
from worker_fn.dispatch.classify import Outcome, Verdict
from worker_fn.dispatch.lanes import Dispatch


class Facts:
    def __init__(self) -> None:
        self.lines: list[tuple[Fact, dict[str, Any]]] = []

    def __call__(self, kind: Fact, **fields: Any) -> None:
        assert set(fields) <= SAFE_FIELDS, set(fields) - SAFE_FIELDS
        self.lines.append((kind, {name: value for name, value in fields.items() if value is not None}))

    def of(self, kind: Fact) -> list[dict[str, Any]]:
        return [fields for one, fields in self.lines if one == kind]


@pytest.fixture
def watched(make_fleet: Any) -> Callable[..., tuple[Any, Facts]]:
    def make(*args: Any, **options: Any) -> tuple[Any, Facts]:
        facts = Facts()
        fleet = make_fleet(*args, **options)
        fleet.worker = replace(fleet.worker, facts=facts)
        return fleet, facts

    return make


def test_delivered_messages_share_one_line(watched: Any) -> None:
    """One line has the request, SQS's id and the number of events of each delivered message."""
    fleet, facts = watched()
    fleet.run(record(1, ["200", "204"]), record(2, ["201"]))
    assert facts.lines == [(Fact.DELIVERED, {"messages": ["r-1 m-1 2", "r-2 m-2 1"]})]


class Choosy(Partner):
    """A call for each event but those named `nobody`, and two for one named `twice`; parts beside the events are left
    out.
    """

    name = "choosy"

    def registration(self) -> Registration:
        return Registration(name="Choosy", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery | LeftOut]:
        assert isinstance(request, EventProcessingRequest)
        yield LeftOut("attributes", "no call for attributes")
        for event in request.events:
            item, name = event.id or "", event.raw["name"]
            if name == "nobody":
                yield LeftOut(item, "an event of nobody")
                continue
            yield Delivery("https://partner.example/e", to_json(event.raw), item)
            if name == "twice":
                yield LeftOut(item, "no second one")


async def answered(*_: Any) -> Answer:
    return Answer(200)


@pytest.mark.parametrize(
    ("names", "amount"), [(["a", "b"], "2"), (["a", "nobody"], "2-1"), (["nobody", "nobody"], "2-2"), (["twice"], "1")]
)
def test_events_without_a_call_are_told_as_left_out(watched: Any, names: list[str], amount: str) -> None:
    """A part beside the events, or a second call of an event, does not count as an event."""
    fleet, facts = watched(Choosy())
    fleet.worker = replace(fleet.worker, send=answered)
    fleet.run(record(1, names))
    [told] = facts.of(Fact.DELIVERED) or [{"messages": []}]
    assert told["messages"] == [f"r-1 m-1 {amount}"]


def test_a_wait_says_why_and_how_long(watched: Any) -> None:
    """A message that must come back has its own line, with both of its ids; so has the call that failed."""
    fleet, facts = watched()
    fleet.run(record(1, ["503"], receives=3))
    [wait] = facts.of(Fact.WAIT)
    assert (wait["request_id"], wait["message_id"], wait["account_id"]) == ("r-1", "m-1", "7")
    assert (wait["why"], wait["receive_count"], wait["events"], wait["type"]) == ("HTTP 503", 3, 1, "events")
    assert wait["wait_s"] == fleet.queue.hidden["h-1"]
    [attempt] = facts.of(Fact.ATTEMPT)
    assert (attempt["request_id"], attempt["message_id"], attempt["status"], attempt["attempt"]) == (
        "r-1",
        "m-1",
        503,
        1,
    )
    assert attempt["ms"] >= 0


def test_each_failed_attempt_has_a_line(watched: Any) -> None:
    """Two failed attempts are two lines; the third, which succeeds, has none."""
    fleet, facts = watched(attempts=3)
    fleet.run(record(1, ["503|timeout|200"]))
    assert [(one.get("status"), one["error"]) for one in facts.of(Fact.ATTEMPT)] == [
        (503, "HTTP 503"),
        (None, "timeout"),
    ]
    assert facts.of(Fact.DELIVERED) == [{"messages": ["r-1 m-1 1"]}]


def test_a_failed_bulk_call_is_one_line_for_its_messages(watched: Any) -> None:
    """If a call for three messages fails for two of them, its line names these two."""
    fleet, facts = watched("merging")
    fleet.run(record(1, ["retry"]), record(2, ["200"]), record(3, ["rejected"]))
    [attempt] = facts.of(Fact.ATTEMPT)
    assert (attempt["messages"], attempt["items"]) == (["r-1 m-1", "r-3 m-3"], 2)


def test_a_bulk_call_is_told_with_its_own_key_first(watched: Any) -> None:
    """The first key of a bulk call's line is the key that the partner saw; the others are its items'."""
    fleet, facts = watched("merging")
    fleet.run(record(1, ["retry"]), record(2, ["retry"]))
    [attempt] = facts.of(Fact.ATTEMPT)
    assert len(set(attempt["keys"])) == len(attempt["keys"]) == 3


@pytest.mark.parametrize(("tells_ids", "told"), [(False, 10), (True, 31)])
def test_of_a_large_bulk_call_some_keys_are_told(watched: Any, tells_ids: bool, told: int) -> None:
    """The line of a large bulk call has its own key and those of its first items; with LOG_EVENTS=ids as many as
    fit.
    """
    fleet, facts = watched()
    items = [Dispatch(Delivery("https://p.example", b"", "e"), f"key-{n}", of=("r-1", "m-1")) for n in range(30)]
    tell_attempt(replace(fleet.worker, tells_ids=tells_ids), items, Outcome(Verdict.RETRY, 503, "HTTP 503"), 9, "own")
    [attempt] = facts.of(Fact.ATTEMPT)
    assert (attempt["request_id"], attempt["message_id"], attempt["items"]) == ("r-1", "m-1", 30)
    assert attempt["keys"] == ["own", *(f"key-{n}" for n in range(told - 1))]


def event(event_id: Any, name: str = "200") -> dict[str, Any]:
    return {"type": "custom_event", "id": event_id, "name": name}


def request_of(number: int, *events: Any, **more: Any) -> Any:
    request = {"type": EVENTS, "id": f"r-{number}", "events": list(events), **more}
    [body] = encode(Head(f"r-{number}", EVENTS, "7", 1_790_000_000_000), to_json(request))
    return raw_record(number, body)


def test_with_ids_events_and_calls_that_arrived_are_told(watched: Any) -> None:
    """With LOG_EVENTS=ids the log has the events of each message, and each call with its key."""
    fleet, facts = watched()
    fleet.worker = replace(fleet.worker, tells_ids=True)
    fleet.run(request_of(1, event("e-1"), event(-77), event("e-3"), system_notifications=[{"id": "n-1"}]))
    [content] = facts.of(Fact.CONTENT)
    assert (content["request_id"], content["event_ids"]) == ("r-1", ["e-1", "-77", "e-3", "n-1"])
    attempts = facts.of(Fact.ATTEMPT)
    assert {(one["status"], len(one["keys"]), "error" in one) for one in attempts} == {(200, 1, False)}


def test_without_ids_nothing_of_them_is_told(watched: Any) -> None:
    """By default a batch has one line, without ids of events."""
    fleet, facts = watched()
    fleet.run(request_of(1, event("e-1")))
    assert [kind for kind, _ in facts.lines] == [Fact.DELIVERED]


def test_what_is_no_id_is_not_told(watched: Any) -> None:
    """An event's id is foreign text: an address, a sentence or an object in its place is not logged."""
    fleet, facts = watched()
    fleet.worker = replace(fleet.worker, tells_ids=True)
    odd = ["canary@example.com", "canary sentence", {"canary": 1}, ["canary"], None, True, "", "canary" * 40, "e-1"]
    fleet.run(request_of(1, *map(event, odd)))
    [content] = facts.of(Fact.CONTENT)
    assert content["event_ids"] == ["e-1"]
    assert "canary" not in json.dumps(facts.lines)


def test_events_of_what_waits_are_told_once(watched: Any) -> None:
    """The events of a waiting message are logged at its first receive and at its end, not at receives between."""
    fleet, facts = watched(attempts=1)
    fleet.worker = replace(fleet.worker, tells_ids=True)
    for receives in (1, 2, 3):
        fleet.run(record(1, ["503|503|200"], receives=receives))
        fleet.clock.now_s += 600
    assert [kind for kind, _ in facts.lines if kind in {Fact.CONTENT, Fact.WAIT, Fact.DELIVERED}] == [
        Fact.CONTENT,
        Fact.WAIT,
        Fact.WAIT,
        Fact.DELIVERED,
        Fact.CONTENT,
    ]


def test_no_line_is_longer_than_cloudwatch_takes(watched: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of the longest ids (128 characters of twelve bytes) stay below CloudWatch's limit: a line that is cut is no
    fact.
    """
    fleet, _ = watched("merging")
    fleet.worker = replace(fleet.worker, facts=fact)
    long_id = "\U0001f600" * 122
    messages = [(f"{long_id}{number:06}", f"m-{number}") for number in range(400)]
    items = [Dispatch(Delivery("https://p.example", b"", "e"), "key", of=of) for of in messages]
    tell_attempt(fleet.worker, items, Outcome(Verdict.RETRY, 503), 9, "key")
    records = []
    for number, (request_id, _) in enumerate(messages[:200]):
        request = {"type": EVENTS, "id": request_id, "events": [{"type": "custom_event", "id": "e", "name": "200"}]}
        [body] = encode(Head(request_id, EVENTS, "7", 1_790_000_000_000), to_json(request))
        records.append(raw_record(number, body))
    fleet.run(*records)
    told = capsys.readouterr().out.splitlines()
    assert max(map(len, told)) < 256_000 - 26
    for kind, count in ((Fact.ATTEMPT, 400), (Fact.DELIVERED, 200)):
        lines = [line for line in map(json.loads, told) if line.get("fact") == kind]
        assert sum(len(line["messages"]) for line in lines) == count


def test_a_dead_letter_says_its_reason(watched: Any) -> None:
    """Reason, status and attempts, as in the letter's attributes."""
    fleet, facts = watched()
    report = fleet.run(record(1, ["400"]))
    [letter] = facts.of(Fact.DEAD_LETTER)
    assert (letter["request_id"], letter["reason"], letter["status"], letter["attempts"]) == ("r-1", "rejected", 400, 1)
    assert report.letters == {"rejected": 1}


def test_what_nobody_can_read_has_a_line(watched: Any) -> None:
    """The line of a damaged body has only SQS's id."""
    fleet, facts = watched()
    fleet.run(raw_record(9, "canary@example.com"))
    [letter] = facts.of(Fact.DEAD_LETTER)
    assert (letter["message_id"], letter["reason"]) == ("m-9", "undecodable")
    assert "canary" not in json.dumps(facts.lines)


def test_suspending_and_parking_and_clearing_are_told(watched: Any) -> None:
    """The refusal that suspends, the messages that it parks, and the probe that clears have a line each."""
    fleet, facts = watched()
    fleet.run(record(1, ["401|200"]), record(2, ["401"]))
    assert [(one["account_id"], one["status"]) for one in facts.of(Fact.SUSPENDED)] == [("7", 401)]
    assert [one["request_id"] for one in facts.of(Fact.PARKED)] == ["r-2"]
    fleet.clock.now_s += 3_600
    fleet.run(record(1, ["200"], receives=2))
    assert [one["request_id"] for one in facts.of(Fact.CLEARED)] == ["r-1"]


def test_a_message_that_could_not_be_moved_is_not_told_as_dead(watched: Any) -> None:
    """If the dead-letter queue does not take a message, it comes back, and its line says so."""
    fleet, facts = watched()
    fleet.queue.broken = True
    report = fleet.run(record(1, ["400"]))
    assert facts.of(Fact.DEAD_LETTER) == []
    assert [one["request_id"] for one in facts.of(Fact.UNSETTLED)] == ["r-1"]
    assert not report.letters


def test_a_paused_intake_tells_each_message_that_it_holds_back(watched: Any) -> None:
    """Each message that comes in spite of a pause waits, and its line says why."""
    fleet, facts = watched()
    fleet.set_item("partner", "hold", {"why": "w", "since_ms": 1})
    fleet.run(record(1, ["200"]))
    assert [(one["message_id"], one["why"]) for one in facts.of(Fact.WAIT)] == [("m-1", "paused")]


def test_the_report_has_what_the_metrics_need(watched: Any) -> None:
    """Waits by cause, times from accepted to delivered, the oldest that waits, the calls' times."""
    fleet, _ = watched()
    fleet.clock.now_s = 1_700_000_060.0
    report = fleet.run(record(1, ["200"]), record(2, ["503"]))
    assert report.delivered_after_ms == [60_000]
    assert report.waits == {"a failed call": 1}
    assert report.oldest_waiting_s == 60
    assert len(report.call_ms) == 2


def test_no_fact_holds_anything_of_a_payload(watched: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Canaries in names, identities and settings appear in no line, however a message ends."""
    fleet, _ = watched(attempts=2)
    fleet.worker = replace(fleet.worker, facts=fact)
    canary = {"user_identities": [{"identity": "canary@example.com"}], "user_attributes": {"canary": "canary"}}
    names = ["200", "503", "400", "401", "timeout", "bad header", "boom"]
    fleet.run(*(record(n, [name], fields={**canary, "x": "canary"}) for n, name in enumerate(names)))
    said = capsys.readouterr().out
    assert len(said.splitlines()) > len(names)
    assert "canary" not in said
    assert "partner.example" not in said
