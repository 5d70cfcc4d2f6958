"""From a thousand to a million messages in one environment (bench/growth.py): CPU time per message, and memory."""

import json
import subprocess
import sys
from collections.abc import Iterator

from bench.measure import CannotMeasure, Figure, Goal, Row
from bench.stand.stand import Stand
from infra.stage import ROOT

FLAT = 1.10
THOUSAND = 1_000


def rows(stand: Stand) -> Iterator[Row]:
    """Run as many messages as the run's time allows; the row's name says how many. `--only growth` runs all."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.growth", str(stand.effort.messages), str(stand.effort.growth_s)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != 0 or not told or told[-1]["messages"] <= THOUSAND:
        raise CannotMeasure(f"bench.growth ended with {done.returncode} after {len(told)} lines: {done.stderr[-500:]}")
    first, last = told[0], told[-1]
    cpu = {f"{one['messages']:,} messages": Figure(one["ms"], one["low"], one["high"], one["chunks"]) for one in told}
    what = f"{first['messages']:,} to {last['messages']:,} messages through encode, decode, map, dispatch, settle"
    goals = (Goal(FLAT, of="limit"),)
    note = "The limit is the first thousand's."
    *beside, (_, ours) = cpu.items()
    yield Row(
        f"{what}: time", "ms CPU a message", ours, limit=beside[0][1], goals=goals, beside=dict(beside), note=note
    )
    peak = {f"{one['messages']:,} messages": Figure.exact(one["peak_mib"]) for one in told}
    *beside, (_, ours) = peak.items()
    yield Row(f"{what}: memory", "MiB at most", ours, limit=beside[0][1], goals=goals, beside=dict(beside), note=note)
