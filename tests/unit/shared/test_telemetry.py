import json

import pytest

from shared.telemetry import Metric, count, log, safe


def test_only_allowed_fields_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """A field that is not on the allow-list never reaches the log, whatever it is called."""
    log("ERROR", "request refused", service="ingest", where="events[0]", user_identities=["canary"], apiKey="canary")
    line = capsys.readouterr().out
    assert "canary" not in line
    assert json.loads(line) == {
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
