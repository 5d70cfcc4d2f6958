"""`spillway partner check`: whether a partner keeps its promises, tried in two processes of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infra.stage import ROOT
from ops.console.findings import Finding
from ops.partner.trial import place_of
from ops.partner.variables import unread
from shared.errors import InvalidSettings

PROTOCOL_SAMPLES = "tests/fixtures/firehose"
PARTNER_SAMPLES = "tests/fixtures/partners"
TRIAL_TIMEOUT_S = 300
"""A mapping that does not end is ended."""

FIRST_RUN = {"PYTHONHASHSEED": "1", "TZ": "UTC"}
SECOND = {"PYTHONHASHSEED": "2", "TZ": "Pacific/Kiritimati"}
"""For the second process, which also maps in reverse: code that relies on a set's order or local time differs there."""
MORE = (["--half", "0"], ["--half", "1", "--backwards"])
"""Each tries half of the odd fields."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The findings, and what they were found with."""

    findings: Sequence[Finding]
    requests: int = 0
    deliveries: int = 0
    reasons: Sequence[str] = ()
    """Why parts of requests were left out."""


def check(
    module: str, env: Mapping[str, str], *, count: int, seed: int, root: Path = ROOT, timeout_s: float = TRIAL_TIMEOUT_S
) -> Checked:
    """Try a partner's module. Raises InvalidSettings if there is none, or if its environment is bad."""
    samples = samples_of(module, root)
    with tempfile.TemporaryDirectory(prefix="spillway-check-") as folder:
        answers = [Path(folder, "first.json"), Path(folder, "second.json")]
        common = [module, "--count", str(count), "--seed", str(seed)]
        common += [argument for sample in samples for argument in ("--sample", str(sample))]
        processes = [
            _start([*common[:1], str(answer), *common[1:], *more], {**env, **differing}, root)
            for answer, differing, more in zip(answers, (FIRST_RUN, SECOND), MORE, strict=True)
        ]
        try:
            ends = [_end(process, answer, timeout_s) for process, answer in zip(processes, answers, strict=True)]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        if problem := next(filter(None, ends), None):
            return Checked([problem])
        first, second = (json.loads(answer.read_text()) for answer in answers)
    checked = _compared(first, second)
    slips = unread({**env, "PARTNER": module}, first.get("variables", ()))
    return replace(checked, findings=[*slips, *checked.findings])


def samples_of(module: str, root: Path) -> list[Path]:
    """The requests that are tried beside the generated ones: the protocol's, and the partner's own."""
    own = root / PARTNER_SAMPLES / module.rpartition(".")[2]
    return [*sorted(own.glob("*.json")), *sorted((root / PROTOCOL_SAMPLES).glob("*_request.json"))]


def _start(arguments: list[str], env: Mapping[str, str], root: Path) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(root), *filter(None, sys.path)])
    with _said(Path(arguments[1])).open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "ops.partner.trial", *arguments],
            env={**env, "PYTHONPATH": path},
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )


def _said(answer: Path) -> Path:
    """The file to which the process that writes an answer prints its errors."""
    return answer.with_suffix(".txt")


def _end(process: subprocess.Popen[bytes], answer: Path, timeout_s: float) -> Finding | None:
    """Wait for a trial; a finding if it did not come to its end."""
    try:
        status = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        mend = (
            "Look for a loop without an end in deliveries(), merge() or read_response(), or for int() of a huge number"
        )
        place = place_of(answer)
        where = f" ({place.read_text(errors='replace')})" if place.is_file() else ""
        return Finding("mapping.endless", f"The mapping does not end{where}: stopped after {timeout_s:.0f} s.", mend)
    if status == 0 and answer.is_file():
        return None
    last = _said(answer).read_text(errors="replace").strip().rpartition("\n")[2]
    if last.startswith("shared.errors.InvalidSettings: "):
        raise InvalidSettings(last.partition(": ")[2])
    kind = last.partition(":")[0][:100]
    problem = f"The process that mapped ended with status {status}" + (f" ({kind})." if kind else ".")
    return Finding("mapping.dies", problem, "A mapping must not end its process, by whatever means")


def _compared(first: Mapping[str, Any], second: Mapping[str, Any]) -> Checked:
    if "unusable" in first:
        raise InvalidSettings(first["unusable"])
    if "broken" in first:
        return Checked([Finding("partner.broken", f"The partner cannot be made: {first['broken']}.", "Mend that line")])
    seen: dict[tuple[str, str, str], list[str]] = {}
    for answer in (first, second):
        for identity, problem, mend, places in answer["seen"]:
            known = seen.setdefault((identity, problem, mend), [])
            known += [place for place in places if place and place not in known]
    differing = [case for case, said in first["digests"].items() if second["digests"].get(case) != said]
    if differing:
        seen[
            "mapping.unstable",
            "in another process a request gives other deliveries or keys",
            "Deliveries hang on the order of a set, on hash(), on the local time zone or on what was mapped before: "
            "sort sets, name a time zone, keep nothing",
        ] = differing
    findings = [
        Finding(identity, _sentence(problem, places), _first_upper(mend))
        for (identity, problem, mend), places in sorted(seen.items())
    ]
    return Checked(findings, first["requests"], first["deliveries"], first["reasons"])


def _sentence(problem: str, places: Sequence[str]) -> str:
    where = f" ({places[0]})" if len(places) == 1 else f" ({places[0]}, and {len(places) - 1} more)" if places else ""
    return f"{_first_upper(problem)}{where}."


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]
