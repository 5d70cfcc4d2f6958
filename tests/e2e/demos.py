"""`spillway demo` as a person runs it, only smaller."""

import os
import subprocess
import sys
import time
from pathlib import Path

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


def start(folder: Path, **env: str) -> subprocess.Popen[str]:
    temporary = folder / "tmp"
    temporary.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "demo", "--folder", str(folder)],
        cwd=ROOT, env={**os.environ, **SMALL, "TMPDIR": str(temporary), **env},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def until_none_is_left(folder: Path) -> list[str]:
    """Wait until no process has `folder` in its environment: all processes of the demo have it as TMPDIR."""
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
