import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared.sigv4 import Credentials
from shared.telemetry import UNITS, Fact, Metric, count, fact, facts_for, log, safe, spread


def test_only_allowed_fields_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """A field that is not on the allow-list never reaches the log, whatever it is called."""
    log("ERROR", "request refused", service="ingest", where="events[0]", user_identities=["canary"], apiKey="canary")
    line = capsys.readouterr().out
    assert "canary" not in line
    said = json.loads(line)
    # RFC 3339: Lambda's JSON format believes the level of such a line alone
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said.pop("timestamp"))
    assert said == {
        "level": "ERROR",
        "message": "request refused",
        "service": "ingest",
        "where": "events[0]",
    }


def test_unset_fields_are_left_out() -> None:
    """None is not logged."""
    assert safe({"status": None, "reason": "rejected"}) == {"reason": "rejected"}


def test_metric_is_printed_in_the_embedded_format(capsys: pytest.CaptureFixture[str]) -> None:
    """CloudWatch reads a metric from one log line."""
    count(Metric.INVALID_REQUEST, 2, service="ingest", stage="dev", now_ms=5)
    line = json.loads(capsys.readouterr().out)
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert line["_aws"]["Timestamp"] == 5
    assert directive["Metrics"] == [{"Name": "InvalidRequest", "Unit": "Count"}]
    assert all(line[dimension] for dimension in directive["Dimensions"][0])
    assert line["InvalidRequest"] == 2


def test_facts_are_short_and_hold_only_allowed_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """No spaces, nothing unset, and nothing whose name is not on the list."""
    fact(Fact.WAIT, request_id="r", wait_s=3, status=None, user_attributes="canary")
    assert capsys.readouterr().out == '{"fact":"wait","request_id":"r","wait_s":3}\n'


@pytest.mark.parametrize("odd", ["é", "\u2028", "\ud800", 2**70, Fact.LIMIT], ids=ascii)
def test_a_fact_is_one_write_in_ascii(odd: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in it, and whatever the log's encoding: a request that was accepted is not failed by its line."""
    written: list[str] = []
    stdout = SimpleNamespace(write=written.append, flush=lambda: None)
    monkeypatch.setattr(sys, "stdout", stdout)
    fact(Fact.ACCEPTED, request_id=odd)
    [line] = written
    assert line.isascii()
    assert line.endswith("\n")
    assert json.loads(line) == {"fact": "accepted", "request_id": odd}


def test_what_an_object_hides_is_in_no_fact(capsys: pytest.CaptureFixture[str]) -> None:
    """It is written as text, as it writes itself."""
    fact(Fact.ATTEMPT, error=Credentials("key", "canary", "canary"))
    assert json.loads(capsys.readouterr().out)["error"] == "Credentials(access_key='key')"


def test_log_events_off_keeps_what_is_not_as_it_should_be(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the lines of what is accepted and delivered go."""
    for kind in Fact:
        facts_for("off")(kind)
    told = [json.loads(line)["fact"] for line in capsys.readouterr().out.splitlines()]
    assert set(Fact) - set(told) == {Fact.ACCEPTED, Fact.DELIVERED}


def test_values_are_spread_from_the_least_to_the_largest() -> None:
    """A sample of a batch's times keeps its ends, and few values are all kept."""
    assert spread([3, 1, 2], 3) == [3, 1, 2]
    assert spread(list(range(101)), 5) == [0, 25, 50, 75, 100]


def test_every_metric_and_fact_is_in_the_documentation() -> None:
    """One table names each metric with its unit, another each fact."""
    page = (Path(__file__).parents[3] / "docs" / "flow.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for metric in Metric:
        assert any(f"`{metric}`" in row and f"| {UNITS.get(metric, 'Count')} |" in row for row in rows), metric
    for kind in Fact:
        assert any(f"`{kind}`" in row.split("|")[1] for row in rows), kind
