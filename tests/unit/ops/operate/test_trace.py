"""The life of a request, from what both functions wrote."""

import io
from typing import Any

import pytest

from ops.console.screen import Screen
from ops.operate import trace
from ops.operate.facts import Told, facts_in, phrase
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


def shown(story: trace.Story) -> str:
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


def test_what_nobody_told_of_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line: it says so, and what can be asked instead."""
    assert "Nothing was written" in shown(trace.story("e-1", [], []))


def test_an_id_cannot_change_what_is_asked() -> None:
    """A quote in an id would end the phrase of the filter."""
    assert phrase("a-1") == '"a-1"'
    for bad in ('a" "b', "", "a\nb", "x" * 1_001, "a\\"):
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
