"""Iterable against the answers of its own Java integration, which lie beside the repository."""

import json
import subprocess
import sys
from pathlib import Path

from ops.partner.replay import as_json, cases, replay
from partners.iterable import Iterable
from shared.firehose import registration_response

PARTNERS = Path(__file__).parents[4] / "shared" / "partners"
GOLDEN = PARTNERS / "iterable_golden.ndjson"

UNCHANGED = {"D19", "D18"}
"""Soft defects whose calls stay as they were: docs/partners/iterable.md says why."""


def compared(tmp_path: Path, *options: str) -> list[str]:
    with GOLDEN.open("rb") as golden:
        lines = [as_json(replay(case, Iterable())) for case in cases(golden)]
    candidate = tmp_path / "candidate.ndjson"
    candidate.write_text("\n".join(lines), "utf-8")
    command = [sys.executable, str(PARTNERS / "compare.py"), str(GOLDEN), str(candidate), "--show", "1000", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


def test_what_is_to_be_kept_is_equal(tmp_path: Path) -> None:
    """Every recorded case without a defect has the same calls and the same outcome."""
    assert compared(tmp_path, "--keep-only") == ["75 passed, 0 failed"]


def test_what_differs_is_a_mended_defect(tmp_path: Path) -> None:
    """Nothing else differs, and a case that does not differ has none but soft defects that were left."""
    different = {line.split(" ")[0] for line in compared(tmp_path)[:-1]}
    for line in filter(None, GOLDEN.read_bytes().split(b"\n")):
        case = json.loads(line)
        defects = {tag.removeprefix("defect:") for tag in case["tags"] if tag.startswith("defect:")}
        if case["name"] in different:
            assert defects, case["name"]
        else:
            assert defects <= UNCHANGED, case["name"]


def test_registration_is_the_recorded_one() -> None:
    """But for the version, which is our own."""
    recorded = json.loads((PARTNERS / "iterable_registration.json").read_bytes())
    told = registration_response(Iterable().registration(), id="i", timestamp_ms=1)
    assert told == recorded | {"id": "i", "timestamp_ms": 1, "version": told["version"]}
