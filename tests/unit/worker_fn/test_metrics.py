"""The worker's metrics, as CloudWatch reads them from its log."""

import json
from typing import Any

import pytest

from worker_fn.batch.settle import Report
from worker_fn.metrics import measure, name_stage


@pytest.fixture(autouse=True)
def stage() -> None:
    name_stage("test")


def test_a_batch_is_one_line_with_its_ends_and_its_stage(make_fleet: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Every count stands in it, also those that are zero: an alarm needs a value."""
    measure(Report(delivered=3, waiting=2, dead_lettered=1), make_fleet("echo").worker)
    [line] = capsys.readouterr().out.splitlines()
    said = json.loads(line)
    assert [said[name] for name in ("Delivered", "Waiting", "DeadLettered", "Parked")] == [[3], [2], [1], [0]]
    assert said["stage"] == "test"
