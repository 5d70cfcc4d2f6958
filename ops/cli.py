"""The command `spillway`: one verb a task. A verb's module is imported when the verb runs, so that help is quick."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from shared.errors import InvalidSettings, SpillwayError

app = typer.Typer(
    help="Tools around Spillway: mParticle -> ingest -> SQS -> worker -> partner.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


# Typer reads these at import. The defaults of a demo stand here alone; ops/local/demo_settings.py explains each number.
Requests = Annotated[int, typer.Option(envvar="REQUESTS", help="Requests that mParticle sends.")]
Limit = Annotated[int, typer.Option(envvar="LIMIT", help="Executions that may run at once, for each design.")]
Events = Annotated[int, typer.Option(envvar="EVENTS", help="Events in a request; each is one call to the partner.")]
LatencyMs = Annotated[int, typer.Option(envvar="PARTNER_LATENCY_MS", help="The partner's time for one call, ms.")]
Rate = Annotated[float, typer.Option(envvar="PARTNER_RATE", help="Calls a second above which it answers 429.")]
FailureRate = Annotated[float, typer.Option(envvar="PARTNER_FAILURE_RATE", help="Share of calls it fails, 0 to 0.5.")]
Seed = Annotated[int, typer.Option(envvar="SEED", help="The same seed, the same requests.")]
Scenario = Annotated[str, typer.Option(envvar="SCENARIO", help="What happens: spike.")]
Folder = Annotated[Path, typer.Option(help="Where the report goes.")]


@app.callback()
def spillway() -> None:
    """Tools around Spillway: mParticle -> ingest -> SQS -> worker -> partner."""


@app.command()
def demo(  # noqa: PLR0917 - each is an option of the command line
    requests: Requests = 1500,
    limit: Limit = 40,
    events: Events = 2,
    partner_latency_ms: LatencyMs = 400,
    partner_rate: Rate = 120,
    partner_failure_rate: FailureRate = 0,
    seed: Seed = 1,
    scenario: Scenario = "spike",
    folder: Folder = Path("build/demo"),
) -> None:
    """Send one spike through the direct design and through Spillway, on an embedded AWS, and compare."""
    from ops import demo as verb  # noqa: PLC0415 - see the module's docstring
    from ops.local.demo_settings import DemoSettings  # noqa: PLC0415

    with one_line_errors():
        if scenario != "spike":
            raise InvalidSettings(f"SCENARIO must be spike: there is no scenario {scenario!r}")
        settings = DemoSettings(
            requests=requests,
            limit=limit,
            events=events,
            partner_latency_ms=partner_latency_ms,
            partner_rate=partner_rate,
            partner_failure_rate=partner_failure_rate,
            seed=seed,
        )
        code = verb.run(settings, folder)
    raise typer.Exit(code)


@app.command()
def registration() -> None:
    """Print what mParticle is told about the partner that PARTNER names."""
    from ops import registration as verb  # noqa: PLC0415 - see the module's docstring

    with one_line_errors():
        typer.echo(verb.as_json(os.environ))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Say what to change in one line and end with status 2, instead of a traceback."""
    try:
        yield
    except SpillwayError as error:
        typer.echo(f"spillway: {error}", err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    app()
