"""A small demo, run to its end: what it prints, and the report that it writes."""

import json
from pathlib import Path

import pytest

from tests.e2e.demos import LATENCY_MS, start

FIELDS = "invocations accepted throttled answer_ms_p50 answer_ms_p99 events_sent delivered duplicates lost drain_s"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, int]:
    """One small demo, run to its end: its folder, what it printed, its exit status."""
    folder = tmp_path_factory.mktemp("demo")
    running = start(folder)
    try:
        printed, _ = running.communicate(timeout=300)
    finally:
        running.kill()
    return folder, printed, running.returncode


def test_a_small_demo_holds(finished: tuple[Path, str, int]) -> None:
    """A small demo exits with 0: Spillway throttled, failed and lost nothing."""
    folder, printed, status = finished
    assert status == 0, printed
    spillway = json.loads((folder / "report.json").read_bytes())["spillway"]
    assert (spillway["throttled"], spillway["failed"], spillway["lost"]) == (0, 0, 0)
    assert (spillway["invocations"], spillway["accepted"], spillway["delivered"]) == (60, 60, 120)


def test_the_direct_design_throttles_and_loses_nothing_it_accepted(finished: tuple[Path, str, int]) -> None:
    """Under the same limit part of the spike is throttled, and every accepted event arrived before the answer to
    mParticle.
    """
    direct = json.loads((finished[0] / "report.json").read_bytes())["direct"]
    assert direct["throttled"] > 0
    assert direct["accepted"] + direct["throttled"] + direct["failed"] == 60
    assert direct["lost"] == 0
    assert direct["delivered"] == 2 * direct["accepted"]
    assert direct["answer_ms_p50"] >= 2 * LATENCY_MS


def test_the_report_has_every_field(finished: tuple[Path, str, int]) -> None:
    """The report has all numbers of both sides, the settings, and a timeline that adds up to the numbers."""
    folder, printed, _ = finished
    written = json.loads((folder / "report.json").read_bytes())
    for name in ("direct", "spillway"):
        side, seconds = written[name], written["timeline"][name]
        assert set(FIELDS.split()) <= side.keys()
        assert sum(second["accepted"] for second in seconds) == side["accepted"]
        assert sum(second["delivered"] for second in seconds) == side["delivered"] + side["duplicates"]
    assert written["settings"]["limit"] == 12
    assert max(second["queue_visible"] + second["queue_in_flight"] for second in written["timeline"]["spillway"]) > 0
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert "Throttled" in printed
