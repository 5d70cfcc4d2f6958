"""The worker's metrics, as CloudWatch reads them from its log."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from testkit.records import record
from worker_fn.batch.settle import Report
from worker_fn.maintenance.ticker import TickReport
from worker_fn.metrics import measure, measure_tick, name_stage


@pytest.fixture(autouse=True)
def stage() -> None:
    name_stage("test")


def test_a_batch_is_one_line_with_its_ends_and_its_stage(make_fleet: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A batch's line has every count, zeros included, because an alarm needs a value."""
    measure(Report(delivered=3, waiting=2, dead_lettered=1), make_fleet("echo").worker)
    [line] = capsys.readouterr().out.splitlines()
    said = json.loads(line)
    assert [said[name] for name in ("Delivered", "Waiting", "DeadLettered", "Parked")] == [[3], [2], [1], [0]]
    assert said["stage"] == "test"


def test_waits_and_dead_letters_are_counted_by_their_cause(make_fleet: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """There is a line for each cause and reason beside the batch's, and none if there is no wait or dead letter."""
    measure(Report(waits=Counter(breaker=3), letters=Counter(rejected=2)), make_fleet("echo").worker)
    _, waits, letters = map(json.loads, capsys.readouterr().out.splitlines())
    assert (waits["Waits"], waits["cause"], waits["stage"], waits["service"]) == ([3], "breaker", "test", "worker")
    assert (letters["DeadLetters"], letters["reason"]) == ([2], "rejected")


def test_times_of_a_batch_are_values_that_percentiles_are_made_of(
    make_fleet: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """From accepted to delivered, and the partner's own; the oldest that waits; how many calls there were."""
    report = Report(delivered_after_ms=[5, 9], call_ms=list(range(100)), waiting=1, oldest_waiting_s=77)
    measure(report, make_fleet("echo").worker)
    said = json.loads(capsys.readouterr().out)
    assert (said["AcceptedToDelivered"], said["Attempts"], said["OldestWaiting"]) == ([5, 9], [100], [77])
    assert "OldestErasure" not in said
    assert (len(said["PartnerLatency"]), said["PartnerLatency"][0], said["PartnerLatency"][-1]) == (16, 0, 99)


def test_the_oldest_erasure_is_told_apart(make_fleet: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The oldest erasure has a metric of its own, however long other messages have waited."""
    measure(Report(parked=1, oldest_waiting_s=900, oldest_erasure_s=60), make_fleet("echo").worker)
    said = json.loads(capsys.readouterr().out)
    assert (said["OldestWaiting"], said["OldestErasure"]) == ([900], [60])


def test_a_tick_tells_of_what_is_parked_and_no_batch_sees(capsys: pytest.CaptureFixture[str]) -> None:
    """A tick writes one line with the ages of parked messages, and none if nothing is parked."""
    measure_tick(TickReport())
    assert not capsys.readouterr().out
    measure_tick(TickReport(oldest_parked_s=900, oldest_parked_erasure_s=60))
    said = json.loads(capsys.readouterr().out)
    assert (said["OldestWaiting"], said["OldestErasure"], said["service"]) == ([900], [60], "worker")


def test_a_tick_tells_how_much_of_the_rate_is_used_and_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """Each value is written if it is known, zeros included, because an alarm needs a value."""
    measure_tick(TickReport(allowance_used=0.25), 0)
    said = json.loads(capsys.readouterr().out)
    assert (said["AllowanceUsed"], said["LedgerGap"]) == ([25.0], [0])
    measure_tick(TickReport(), 3)
    said = json.loads(capsys.readouterr().out)
    assert (said["LedgerGap"], "AllowanceUsed" in said) == ([3], False)


@pytest.mark.parametrize("is_open", [True, False])
def test_a_tick_tells_whether_the_breaker_is_open(is_open: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """While an operator keeps it open no batch comes that could tell; and its alarm ends by a zero."""
    measure_tick(TickReport(breaker_open=is_open))
    assert json.loads(capsys.readouterr().out)["BreakerOpen"] == [int(is_open)]


def test_the_accounts_that_are_named_are_measured_by_themselves(
    make_fleet: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each named account has a line with all counts, zeros included; other accounts have none."""
    fleet = make_fleet("echo")
    fleet.worker = replace(fleet.worker, measured_accounts=frozenset({"7", "9"}))
    batch = [record(1, ["200"], account=7), record(2, ["503"], account=7), record(3, ["200"], account=8)]
    measure(fleet.run(*batch), fleet.worker)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [of_account] = [line for line in lines if "account" in line]
    assert (of_account["account"], of_account["stage"]) == ("7", "test")
    assert [of_account[name] for name in ("Delivered", "Waiting", "DeadLettered", "Parked")] == [1, 1, 0, 0]
    [directive] = of_account["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["stage", "service", "account"]]
    measure(Report(), fleet.worker)
    assert "account" not in capsys.readouterr().out
