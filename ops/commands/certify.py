"""`spillway certify`: mParticle played against a deployed integration."""

import os
from typing import Annotated

import typer

from ops.commands.options import AsJson, Settings, Stage, one_line_errors, settings_of

TOKEN_VARIABLE = "SPILLWAY_TOKEN"  # noqa: S105 - the variable's name

Target = Annotated[
    str,
    typer.Argument(
        help="ARN of the alias to give to mParticle, or the URL of an HTTP integration; without it, --stage's alias."
    ),
]
Token = Annotated[
    str, typer.Option(envvar=TOKEN_VARIABLE, help="What mParticle sends as `Authorization: Token ...`, for a URL.")
]
Only = Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Play this check; repeatable.")]
Skip = Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Leave this check out; repeatable.")]
Burst = Annotated[int, typer.Option(min=2, max=500, help="Requests that are sent at once.")]
Calls = Annotated[int, typer.Option(min=100, max=2_000, help="Requests whose answer times are measured.")]
MaxMs = Annotated[
    float | None,
    typer.Option(min=1, help="The most time for 99% of the answers, ms; by default 200 for an ARN, 100 for a URL."),
]
Seed = Annotated[int | None, typer.Option(min=0, help="The same seed, the same requests but for ids and times.")]


def certify(  # noqa: PLR0917 - each is an option of the command line
    target: Target = "",
    stage: Stage = "dev",
    token: Token = "",
    setting: Settings = None,
    only: Only = None,
    skip: Skip = None,
    burst: Burst = 10,
    calls: Calls = 100,
    max_ms: MaxMs = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Play mParticle against a deployed integration, Spillway or any other, and say what mParticle would object to."""
    from ops.certify import run as verb  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate.stack import enter_stage, find_stack  # noqa: PLC0415

    with one_line_errors():
        enter_stage(stage)
        code = verb.run(
            target or find_stack(stage).output("IngestAliasArn"),
            token=token or os.environ.get(TOKEN_VARIABLE, ""),
            settings=settings_of(setting),
            only=only or (),
            skip=skip or (),
            burst=burst,
            calls=calls,
            max_ms=max_ms,
            seed=seed,
            as_json=as_json,
        )
    raise typer.Exit(code)
