"""How much of the function's memory a batch takes, whatever is in it. docs/limits.md has the table."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROBE = Path(__file__).parent / "memory_probe.py"
FUNCTION_MIB = 512
MOST_MIB = 350
"""The deployed worker has some 60 MiB of clients and connections that the probe has not, and needs some air."""


def _cases() -> list[str]:
    spec = importlib.util.spec_from_file_location("memory_probe", PROBE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.CASES)


def probe(case: str, calls: int) -> dict[str, Any]:
    """Work a batch in a process of its own until this many calls were made."""
    command = [sys.executable, str(PROBE), case, str(FUNCTION_MIB), str(calls)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(command, env=env, capture_output=True, check=True, timeout=300)
    found: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("case", _cases())
def test_a_worker_of_512_mb_lives(case: str) -> None:
    """A batch that would be too large if it were mapped at once is mapped only as far as there is room."""
    found = probe(case, calls=1_000)
    assert found["peak_mib"] <= MOST_MIB
    heavy = "empty events" in case or "480,000 numbers in place" in case
    assert bool(found["letters"]) is heavy
    assert found["calls"] > 0 or case == "nothing"
    if heavy:
        assert found["letters"][0].startswith("reading it takes about")
        assert (found["delivered"], found["calls"]) == (1, 3)
