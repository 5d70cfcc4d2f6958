"""Small demos of the scenarios in which something goes wrong, each run to its end."""

import json
from pathlib import Path

from tests.e2e.demos import start


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
    """After an outage, with the times of the stage `local`, a tick probes, the intake resumes, and all waiting events
    are delivered.
    """
    running = start(tmp_path, SCENARIO="outage", REQUESTS="160", LIMIT="24", EVENTS="1", OUTAGE_S="12")
    try:
        printed, _ = running.communicate(timeout=400)
    finally:
        running.kill()
    assert running.returncode == 0, printed
    spillway = json.loads((tmp_path / "report.json").read_bytes())["spillway"]
    assert (spillway["lost"], spillway["undelivered"], spillway["dead_lettered"]) == (0, 0, {})
    assert (spillway["delivered"], spillway["errors"] > 0) == (160, True)
