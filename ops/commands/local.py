"""`spillway local`: an AWS and a partner on this machine, until Ctrl-C."""

from pathlib import Path
from typing import Annotated

import typer

from ops.commands.options import one_line_errors

StageToDeploy = Annotated[str, typer.Option("--stage", envvar="STAGE", help="The stage that is deployed.")]
Deploy = Annotated[bool, typer.Option("--deploy/--no-deploy", help="Deploy the stack, or leave that to you.")]
Port = Annotated[int, typer.Option(min=1, max=65_535, help="The embedded AWS's port on 127.0.0.1.")]
PartnerPort = Annotated[int, typer.Option(min=1, max=65_535, help="The partner API's port on 127.0.0.1.")]
EnvFile = Annotated[Path, typer.Option(help="The file that other shells source to reach it; removed at the end.")]
AccountLimit = Annotated[
    int, typer.Option(min=1, help="The account's limit of concurrent executions; each that runs holds 60 MB.")
]


def local(  # noqa: PLR0917 - each is an option of the command line
    stage: StageToDeploy = "local",
    deploy: Deploy = True,
    port: Port = 4610,
    partner_port: PartnerPort = 4611,
    env_file: EnvFile = Path("build/local/env"),
    account_limit: AccountLimit = 1_000,
) -> None:
    """Run an AWS and a partner API on this machine, with Spillway deployed to it, until Ctrl-C."""
    from ops.local import standing_stack as verb  # noqa: PLC0415 - ops/commands/__init__.py says why
    from ops.operate.stack import enter_stage  # noqa: PLC0415

    with one_line_errors():
        if deploy:
            enter_stage(stage)
        code = verb.run(
            stage if deploy else None,
            port=port,
            partner_port=partner_port,
            env_file=env_file,
            account_concurrency=account_limit,
        )
    raise typer.Exit(code)
