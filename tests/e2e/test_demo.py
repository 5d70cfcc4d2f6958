"""`spillway demo` as a person runs it, only smaller."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LATENCY_MS = 1_000
SMALL = {
    "REQUESTS": "60",
    "LIMIT": "12",
    "EVENTS": "2",
    "PARTNER_LATENCY_MS": str(LATENCY_MS),
    "PARTNER_RATE": "100",
    "CI": "true",
}
"""15 requests a second, while the direct design can carry 6. Spillway's ingest has 8 executions for them: it throttles
where an answer takes half a second, which a busy machine does not come to.
"""
FIELDS = "invocations accepted throttled answer_ms_p50 answer_ms_p99 events_sent delivered duplicates lost drain_s"


def start(folder: Path, **env: str) -> subprocess.Popen[str]:
    temporary = folder / "tmp"
    temporary.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "demo", "--folder", str(folder)],
        cwd=ROOT, env={**os.environ, **SMALL, "TMPDIR": str(temporary), **env},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


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
    """It ends with status 0: Spillway throttled, failed and lost nothing."""
    folder, printed, status = finished
    assert status == 0, printed
    spillway = json.loads((folder / "report.json").read_bytes())["spillway"]
    assert (spillway["throttled"], spillway["failed"], spillway["lost"]) == (0, 0, 0)
    assert (spillway["invocations"], spillway["accepted"], spillway["delivered"]) == (60, 60, 120)


def test_the_direct_design_throttles_and_loses_nothing_it_accepted(finished: tuple[Path, str, int]) -> None:
    """Under the same limit part of the spike is throttled, and every event it took arrived before it answered."""
    direct = json.loads((finished[0] / "report.json").read_bytes())["direct"]
    assert direct["throttled"] > 0
    assert direct["accepted"] + direct["throttled"] + direct["failed"] == 60
    assert direct["lost"] == 0
    assert direct["delivered"] == 2 * direct["accepted"]
    assert direct["answer_ms_p50"] >= 2 * LATENCY_MS


def test_the_report_has_every_field(finished: tuple[Path, str, int]) -> None:
    """Both sides have all their numbers; beside them stand the settings and a timeline that adds up to them."""
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


def test_a_small_demo_of_trouble_tells_what_became_of_it(tmp_path: Path) -> None:
    """Events that the partner refuses end in the dead-letter queue with their reason, and all others arrive."""
    running = start(tmp_path, SCENARIO="poison", LIMIT="24", EVENTS="1")
    try:
        printed, _ = running.communicate(timeout=300)
    finally:
        running.kill()
    assert running.returncode == 0, printed
    written = json.loads((tmp_path / "report.json").read_bytes())
    spillway = written["spillway"]
    assert (written["scenario"], "direct" in written) == ("poison", False)
    assert (spillway["lost"], spillway["false_dead_letters"], spillway["throttled"]) == (0, 0, 0)
    assert spillway["dead_lettered"] == {"rejected": 2}
    assert spillway["delivered"] == 58
    assert (spillway["refused"], spillway["calls_during_cooldown"]) == (0, 0)
    assert sum(one["delivered"] for one in spillway["customers"]) == 58
    assert "dead-letter" in (tmp_path / "report.html").read_text()


def test_a_small_demo_of_an_outage_ends(tmp_path: Path) -> None:
    """With the times of the stage `local` a tick probes, the intake comes back, and all that waited is delivered."""
    running = start(tmp_path, SCENARIO="outage", REQUESTS="160", LIMIT="24", EVENTS="1", OUTAGE_S="12")
    try:
        printed, _ = running.communicate(timeout=400)
    finally:
        running.kill()
    assert running.returncode == 0, printed
    spillway = json.loads((tmp_path / "report.json").read_bytes())["spillway"]
    assert (spillway["lost"], spillway["undelivered"], spillway["dead_lettered"]) == (0, 0, {})
    assert (spillway["delivered"], spillway["errors"] > 0) == (160, True)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["Starting", "Deploying the direct", "warming up", "Spillway: 60 requests"])
def test_stopped_at_any_moment_it_leaves_no_process(
    tmp_path: Path, moment: str, number: signal.Signals, status: int
) -> None:
    """Ctrl-C and SIGTERM end the embedded AWS, its functions and the deploy, whatever was going on."""
    running = start(tmp_path)
    assert running.stdout
    printed = ""
    try:
        for line in running.stdout:
            printed += line
            if moment in line:
                break
        else:
            pytest.fail(f"the demo ended before {moment!r}:\n{printed}")
        os.kill(running.pid, number)
        rest = running.stdout.read()
        assert running.wait(60) == status
    finally:
        running.kill()
        running.stdout.close()
    assert "Traceback" not in rest
    assert until_none_is_left(tmp_path / "tmp") == []
    assert list((tmp_path / "tmp").glob("spillway-aws-*")) == []


def test_a_missing_tool_is_one_line_and_status_2(tmp_path: Path) -> None:
    """Without node it says so, and leaves neither a traceback nor a report."""
    running = start(tmp_path, PATH=str(tmp_path))
    printed, _ = running.communicate(timeout=60)
    assert running.returncode == 2
    assert printed.splitlines()[-1].startswith("spillway demo: There is no node on the PATH")
    assert "Traceback" not in printed
    assert not (tmp_path / "report.json").exists()


def until_none_is_left(folder: Path) -> list[str]:
    """The processes that have `folder` in their environment: whatever the demo started has it as TMPDIR."""
    left: list[str] = []
    give_up_s = time.monotonic() + 20
    while time.monotonic() < give_up_s:
        left = [
            process.name for process in Path("/proc").iterdir() if process.name.isdigit() and belongs(process, folder)
        ]
        if not left:
            break
        time.sleep(0.1)
    return left


def belongs(process: Path, folder: Path) -> bool:
    try:
        return str(folder).encode() in (process / "environ").read_bytes()
    except OSError:
        return False
