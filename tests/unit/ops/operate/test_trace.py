"""The life of a request, from what both functions wrote."""

import io
from typing import Any

import pytest

from ops.console.screen import Screen
from ops.operate import trace
from ops.operate.facts import ALL, Told, facts_in, phrase
from ops.operate.stack import StackUnavailable
from ops.operate.tail import line_of
from shared.ledger import Ledger
from shared.telemetry import Fact

R = "0d5d6c1e-0000-4000-8000-000000000001"
FIELDS: dict[str, Any] = {"request_id": R, "message_id": "61bd120d-5c4e", "account_id": "7", "events": 3}
LIFE = [
    Told(
        1_000, "ingest", Fact.ACCEPTED, {**FIELDS, "messages": ["61bd120d-5c4e"], "type": "events", "bytes": 9, "ms": 8}
    ),
    Told(
        2_000,
        "worker",
        Fact.ATTEMPT,
        {**FIELDS, "status": 503, "error": "HTTP 503", "ms": 40, "attempt": 1, "keys": ["k1"]},
    ),
    Told(2_100, "worker", Fact.WAIT, {**FIELDS, "why": "HTTP 503", "wait_s": 30, "receive_count": 1}),
    Told(40_000, "worker", Fact.DELIVERED, {"messages": ["other m9 1", f"{R} 61bd120d 3-1"]}),
]


def shown(story: trace.Traced) -> str:
    console = Screen(file=io.StringIO(), width=80)
    trace.show(story, console, since="3d")
    return str(console.file.getvalue())  # type: ignore[attr-defined]


@pytest.mark.parametrize("asked", [R, "61bd120d-5c4e", "k1", "61bd120d"])
def test_any_id_of_a_request_finds_it(asked: str) -> None:
    """Its own, its message's, that of one of its calls, the begin of SQS's."""
    assert trace.requests_of(LIFE, asked) == [R]


def test_a_life_is_told_in_order_and_ends_where_it_is_now() -> None:
    """Accepted, the attempt with its status and time, the wait with its reason, delivered."""
    story = trace.story(R, [*reversed(LIFE), *LIFE], [R])
    assert [step.kind for step in story.steps] == ["accepted", "attempt", "wait", "delivered"]
    said = shown(story)
    for text in (
        "answered in 8 ms",
        "HTTP 503 after 40 ms",
        "comes back in 30 s",
        "1 of them left out",
        f"now: {R} delivered",
    ):
        assert text in " ".join(said.split())
    assert "other" not in said


def test_a_dead_letter_says_its_reason_and_where_it_lies() -> None:
    """Where it is now is the dead-letter queue, with the reason."""
    letter = Told(
        3_000, "worker", Fact.DEAD_LETTER, {**FIELDS, "reason": "rejected", "error": "HTTP 400", "attempts": 2}
    )
    assert "in the dead-letter queue (rejected)" in " ".join(shown(trace.story(R, [LIFE[0], letter], [R])).split())


def test_parts_are_told_apart() -> None:
    """Each message of a request that was split has a place of its own."""
    parts = [
        Told(2_000, "worker", Fact.DELIVERED, {"messages": [f"{R} 1/2 m1 3"]}),
        Told(2_000, "worker", Fact.PARKED, {**FIELDS, "part": "2/2"}),
    ]
    places = trace.story(R, [LIFE[0], *parts], [R]).places[R]
    assert places == {"1/2": "delivered", "2/2": "parked, or on its way back into the queue"}


def accepted(request_id: str = R, *message_ids: str, account: str = "7", at_ms: int = 1_000) -> Told:
    parts = {"parts": len(message_ids)} if len(message_ids) > 1 else {}
    ids = {"request_id": request_id, "account_id": account, "messages": list(message_ids)}
    return Told(at_ms, "ingest", Fact.ACCEPTED, {**ids, **parts, "type": "events", "events": 3, "bytes": 9, "ms": 8})


def test_an_id_is_its_own_and_not_that_which_it_begins() -> None:
    """`r-1` is a request; that `r-10` begins so, and that an account is called 1, are found where nothing else is."""
    lines = [accepted("r-10", "m10"), accepted("r-1", "m1"), accepted("x", "r-1")]
    assert trace.requests_of(lines, "r-1") == ["r-1"]
    assert trace.requests_of(lines, "m1") == ["r-1"]
    assert trace.requests_of(lines, "r-") == ["r-10", "r-1", "x"]


@pytest.mark.parametrize("odd", ["a b", "a 1/2", "Zoë", 'with "quotes"', "back\\slash", "-1", "1", "*"])
def test_an_odd_id_is_found_in_every_line(odd: str) -> None:
    """Whatever a customer calls its requests."""
    part = " 1/1" if odd == "a 1/2" else ""
    lines = [
        accepted(odd, "61bd120d-5c4e"),
        Told(2, "worker", Fact.ATTEMPT, {"messages": [f"{odd} 61bd120d", "other m9"], "status": 500, "keys": ["k"]}),
        Told(3, "worker", Fact.DELIVERED, {"messages": [f"{odd}{part} 61bd120d 3"]}),
    ]
    assert all(trace.requests_of([line], odd) == [odd] for line in lines)
    story = trace.story(odd, lines, [odd])
    assert (len(story.steps), story.places) == (3, {odd: {"1/1": "delivered"}})


def test_a_call_of_a_part_is_no_part_of_its_own() -> None:
    """Lines of calls name the message: whose part it is the accepted request tells."""
    lines = [
        accepted(R, "aaaaaaaa-1", "bbbbbbbb-2", at_ms=1),
        Told(2, "worker", Fact.ATTEMPT, {"request_id": R, "message_id": "bbbbbbbb-2", "status": 500, "ms": 3}),
        Told(3, "worker", Fact.WAIT, {**FIELDS, "message_id": "bbbbbbbb-2", "part": "2/2", "wait_s": 3}),
    ]
    story = trace.story(R, lines, [R])
    assert [step.part for step in story.steps] == ["1/1", "2/2", "2/2"]
    assert story.places[R] == {"1/2": "in the queue: no worker has told of it yet", "2/2": "in the queue, waiting"}
    assert f"now: {R} part 2/2 in the queue, waiting" in " ".join(shown(story).split())


def test_each_copy_and_each_accounts_request_has_its_place() -> None:
    """mParticle sent one twice; two accounts have requests with the same id."""
    dead = Told(
        3, "worker", Fact.DEAD_LETTER, {**FIELDS, "message_id": "m2", "reason": "rejected", "error": "HTTP 400"}
    )
    twice = [
        accepted(R, "m1"),
        accepted(R, "m2", at_ms=2),
        Told(3, "worker", Fact.DELIVERED, {"messages": [f"{R} m1 3"]}),
    ]
    lies = "in the dead-letter queue (rejected), unless it was redriven since"
    assert trace.story(R, [*twice, dead], [R]).places[R] == {"1/1": "delivered", "1/1, copy 2": lies}
    two = [accepted(R, "m1", account="8"), accepted(R, "m2", at_ms=2), twice[2], dead]
    story = trace.story(R, two, [R])
    assert story.places[R] == {"1/1 of account 8": "delivered", "1/1 of account 7": lies}
    assert f"now: {R} of account 8 delivered" in " ".join(shown(story).split())


def test_what_was_not_read_to_its_end_is_not_said_to_wait() -> None:
    """The worker's log may hold its end."""
    assert trace.story(R, [accepted(R, "m1")], [R], bounded_by="60 s").places[R]["1/1"].startswith("not known")


def test_with_ids_an_event_and_a_call_that_arrived_are_found() -> None:
    """LOG_EVENTS=ids: the line of a message's content, and those of all calls."""
    content = Told(3, "worker", Fact.CONTENT, {**FIELDS, "event_ids": ["e-1", "e-2", "e-3", "e-4"]})
    call = Told(3, "worker", Fact.ATTEMPT, {**FIELDS, "status": 200, "ms": 3, "attempt": 1, "keys": ["k9"]})
    lines = [*LIFE, content, call]
    assert [trace.requests_of(lines, one) for one in ("e-4", "k9", "e-5")] == [[R], [R], []]
    said = " ".join(shown(trace.story("e-4", lines, [R])).split())
    assert "content events e-1, e-2, e-3 and 1 more" in said
    assert "attempt 1: HTTP 200 after 3 ms" in said


def test_what_nobody_told_of_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line: it says so, and what can be asked instead."""
    assert "Nothing was written" in shown(trace.story("e-1", [], []))


def test_an_id_cannot_change_what_is_asked() -> None:
    """A quote in an id would end the phrase of the filter: what has a form of its own in JSON or in a pattern is not
    asked for, and looked for in what is found.
    """
    assert phrase("a-1") == '"a-1"'
    assert phrase('a" "longer') == '"longer"'
    assert phrase("back\\slash") == '"slash"'
    assert phrase("Zoë-1234") == '"-1234"'
    assert phrase('"ë"') == ALL
    for bad in ("", "a\nb", "x" * 1_001):
        with pytest.raises(StackUnavailable):
            phrase(bad)


def test_what_is_no_fact_is_passed_over() -> None:
    """The log holds Lambda's own lines, metrics and what is no JSON."""
    message = 'START RequestId: x\n{"fact": 5}\n{"fact":"wait","wait_s":3}\n{"fact": broken\n["fact"]'
    assert [told.fields for told in facts_in(message, "worker", 1)] == [{"wait_s": 3}]


@pytest.mark.parametrize(
    "odd", ['"x"', "null", "[]", "{}", "-1", "1e30", "1e999", "NaN", "9" * 40, "[" * 99_999 + "]" * 99_999]
)
@pytest.mark.parametrize(
    "name", ["parts", "events", "bytes", "retry_after_s", "messages", "keys", "account_id", "part"]
)
def test_lines_that_have_not_the_form_of_ours_stop_nobody(name: str, odd: str) -> None:
    """A partner's code writes into the same log, and a count of parts is a loop."""
    ledger = Ledger()
    for kind in Fact:
        line = f'{{"fact": "{kind}", "request_id": "r", "{name}": {odd}}}'
        found = list(facts_in(line, "worker", 1))
        for told in found:
            ledger.add(told.kind, told.fields, told.at_ms)
            line_of(told)
        trace.as_json(trace.story("r", found, ["r"]))
    assert ledger.sums().balance == 0
    assert all(isinstance(one, str) for one in ledger.accounts())


def test_what_others_wrote_cannot_move_the_cursor() -> None:
    """A request's id is foreign text."""
    evil = Told(1, "worker", Fact.WAIT, {**FIELDS, "request_id": "\x1b[2Jx", "why": "\x1b]0;x", "wait_s": 1})
    assert "\x1b" not in shown(trace.story("x", [evil], ["\x1b[2Jx"]))


def test_a_line_of_the_tail_says_whose_it_is_first_and_its_ids_last() -> None:
    """What is read at a glance stands before what is copied; control characters are spelled out."""
    fields = {"request_id": "\x1b[2Jx", "message_id": "m", "type": "events", "account_id": "7", "reason": "rejected"}
    line = line_of(Told(1_000, "worker", Fact.DEAD_LETTER, fields)).plain
    assert line == (
        "00:00:01 worker dead_letter account_id=7 type=events reason=rejected request_id=\\x1b[2Jx message_id=m"
    )


def test_a_steps_sentence_goes_on_below_itself() -> None:
    """At 80 columns a long one is no new step."""
    fields = {**FIELDS, "messages": ["61bd120d-5c4e-4000-8000-000000000001"], "type": "events", "bytes": 9, "ms": 8}
    first, second, third = shown(trace.story(R, [Told(1_000, "ingest", Fact.ACCEPTED, fields)], [R])).splitlines()[:3]
    assert first == f"request {R}"
    assert second.startswith("  01-01 00:00:01  accepted  events, 3 events")
    assert third.startswith(" " * 28)
