"""`spillway demo`: a scenario on an embedded AWS, with a report."""

from pathlib import Path
from typing import Annotated

import typer

from ops.commands.options import finite, one_line_errors

# Typer reads these at import. What an option is when it is not given, the scenario says: ops/demo/scenarios.py.
Requests = Annotated[int | None, typer.Option(envvar="REQUESTS", help="Requests that mParticle sends.")]
Limit = Annotated[int | None, typer.Option(envvar="LIMIT", help="Executions that may run at once, for each design.")]
Events = Annotated[int | None, typer.Option(envvar="EVENTS", help="Events in a request; each is one call.")]
LatencyMs = Annotated[int | None, typer.Option(envvar="PARTNER_LATENCY_MS", help="The partner's time for a call, ms.")]
Rate = Annotated[
    float | None,
    typer.Option(envvar="PARTNER_RATE", callback=finite, help="Calls a second above which it answers 429."),
]
FailureRate = Annotated[
    float | None, typer.Option(envvar="PARTNER_FAILURE_RATE", callback=finite, help="Share of calls it fails.")
]
OutageS = Annotated[
    float | None, typer.Option(envvar="OUTAGE_S", callback=finite, help="How long it is down, in the outage.")
]
Seed = Annotated[int | None, typer.Option(envvar="SEED", help="The same seed, the same requests.")]
ScenarioName = Annotated[
    str, typer.Option("--scenario", envvar="SCENARIO", help="spike, outage, throttle, poison or noisy.")
]
Folder = Annotated[Path, typer.Option(help="Where the report goes.")]


def demo(  # noqa: PLR0917 - each is an option of the command line
    requests: Requests = None,
    limit: Limit = None,
    events: Events = None,
    partner_latency_ms: LatencyMs = None,
    partner_rate: Rate = None,
    partner_failure_rate: FailureRate = None,
    outage_s: OutageS = None,
    seed: Seed = None,
    scenario: ScenarioName = "spike",
    folder: Folder = Path("build/demo"),
) -> None:
    """Send requests through Spillway on an embedded AWS, while nothing, or something, goes wrong at the partner."""
    from ops.demo import verdict as verb  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.demo.scenarios import scenario_named  # noqa: PLC0415

    with one_line_errors():
        chosen = scenario_named(scenario)
        settings = chosen.settings(
            requests=requests,
            limit=limit,
            events=events,
            partner_latency_ms=partner_latency_ms,
            partner_rate=partner_rate,
            partner_failure_rate=partner_failure_rate,
            outage_s=outage_s,
            seed=seed,
        )
        code = verb.run(chosen, settings, folder)
    raise typer.Exit(code)
