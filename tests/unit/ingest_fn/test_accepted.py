"""What ingest tells of a request that it accepted."""

import json
from typing import Any

import pytest

from ingest_fn.accepted import LONGEST_MS, REQUESTS_A_LINE, Accepted, Figures
from ingest_fn.ingest import ingest
from ingest_fn.settings import Settings
from shared.errors import InvalidRequest, InvalidSettings
from shared.message import EVENTS, Head
from tests.unit.ingest_fn.test_ingest import ENV, ListQueue, event_request

ONE = Accepted(Head("r-1", EVENTS, "7", 1), ["m-1"], 2, 100)


def accepted(request: dict[str, Any]) -> list[Accepted]:
    told: list[Accepted] = []
    ingest(request, settings=Settings.from_env(ENV), queue=ListQueue(), note_accepted=told.append)
    return told


def test_an_accepted_request_is_told_with_its_ids_and_its_size() -> None:
    """Request, SQS's message, account, events and bytes."""
    [one] = accepted(event_request(events=[{"id": "a"}, {"id": "b"}], system_notifications=[{}]))
    fields = one.fields(8.6)
    assert (fields["request_id"], fields["messages"], fields["account_id"], fields["type"]) == (
        "r-1",
        ["m-0"],
        "7",
        "events",
    )
    assert (fields["events"], fields["ms"], fields["parts"]) == (3, 9, None)
    assert fields["bytes"] > 50


def test_each_part_of_a_large_request_is_told() -> None:
    """A split request names every message."""
    large = Accepted(ONE.head, ["m-1", "m-2"], 2, 1)
    assert (large.fields(1)["parts"], large.fields(1)["messages"]) == (2, ["m-1", "m-2"])


def test_of_sqs_ids_the_beginnings_are_told() -> None:
    """Eight characters tell a request's copies apart, as in the line of what was delivered."""
    one = Accepted(Head("r", "event_processing_request", "7", 1), ["61bd120d-5c4e-4000-8000-000000000001"], 1, 9)
    assert one.fields(1)["messages"] == ["61bd120d"]


@pytest.mark.parametrize("kind", ["events", "system_notifications"])
def test_a_probe_is_not_told(kind: str) -> None:
    """mParticle's verification puts nothing on the queue: there is nothing to account for."""
    assert accepted(event_request(**{kind: []})) == []


def test_what_was_refused_is_not_told() -> None:
    """Only what is durably queued counts as accepted."""
    told: list[Accepted] = []
    with pytest.raises(InvalidRequest, match="type"):
        ingest({"type": 1}, settings=Settings.from_env(ENV), queue=ListQueue(), note_accepted=told.append)
    assert told == []


def test_metrics_of_many_requests_share_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A hundred requests are one line: count, answer times and bytes."""
    figures = Figures("test", now_ms=lambda: 5)
    for _ in range(REQUESTS_A_LINE):
        assert capsys.readouterr().out == ""
        figures.add(ONE, 10)
    said = json.loads(capsys.readouterr().out)
    assert (said["Accepted"], said["EnqueuedBytes"], set(said["AnswerTime"])) == (100, 10_000, {10})


def test_metrics_of_a_minute_are_written_with_the_next_request(capsys: pytest.CaptureFixture[str]) -> None:
    """Few requests do not wait for a hundred."""
    now = [0]
    figures = Figures("test", now_ms=lambda: now[0])
    figures.add(ONE, 10)
    now[0] = LONGEST_MS
    figures.add(ONE, 20)
    assert json.loads(capsys.readouterr().out)["Accepted"] == 2


def test_log_events_off_leaves_out_the_line_of_each_request(capsys: pytest.CaptureFixture[str]) -> None:
    """Who wants less in the log has less, and a word that is neither on nor off is refused."""
    Settings.from_env({**ENV, "LOG_EVENTS": "off"}).facts("accepted", request_id="r")
    assert capsys.readouterr().out == ""
    Settings.from_env(ENV).facts("accepted", request_id="r")
    assert json.loads(capsys.readouterr().out) == {"fact": "accepted", "request_id": "r"}
    with pytest.raises(InvalidSettings, match="LOG_EVENTS"):
        Settings.from_env({**ENV, "LOG_EVENTS": "no"})


def test_a_trace_is_carried_on_only_when_it_is_switched_on() -> None:
    """Lambda says in its environment what the invocation's trace is; by default nobody looks."""
    lambdas = {**ENV, "_X_AMZN_TRACE_ID": "Root=1"}
    assert Settings.from_env(lambdas).trace() is None
    assert Settings.from_env({**lambdas, "TRACING": "on"}).trace() == "Root=1"
