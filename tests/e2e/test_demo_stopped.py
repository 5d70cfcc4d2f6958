"""A demo that is stopped, or that cannot begin, leaves nothing behind."""

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.demos import start, until_none_is_left


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["Starting", "Deploying the direct", "warming up", "Spillway: 60 requests"])
def test_stopped_at_any_moment_it_leaves_no_process(
    tmp_path: Path, moment: str, number: signal.Signals, status: int
) -> None:
    """Ctrl-C and SIGTERM end the embedded AWS, its functions and the deploy, at whatever moment they come."""
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
    """Without node the demo says so in a line, and leaves neither a traceback nor a report."""
    running = start(tmp_path, PATH=str(tmp_path))
    printed, _ = running.communicate(timeout=60)
    assert running.returncode == 2
    assert printed.splitlines()[-1].startswith("spillway demo: There is no node on the PATH")
    assert "Traceback" not in printed
    assert not (tmp_path / "report.json").exists()
