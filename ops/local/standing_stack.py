"""`spillway local`: an embedded AWS and a partner API that stay until Ctrl-C, with Spillway deployed to them.

Other shells reach them by sourcing a file (build/local/env); every command that is meant for AWS is then for this one:
`make deploy STAGE=production` deploys here. Nothing is left at the end: no process, no file, no state.
"""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console

from infra.build import FUNCTIONS, TARGETS, BuildError, build, write_release
from infra.stage import ROOT
from ops.console.screen import Screen
from ops.console.terminal import COULD_NOT_RUN, INTERRUPTED, safe
from ops.local.aws import LocalAws, LocalAwsError, is_free, local_aws, sigterm_as_exit
from ops.local.call_line import line_of
from ops.local.partner_api import Behaviour, Exchange, LoopbackPartner, serve

LEDGER_CALLS = 100_000
"""The partner API remembers its calls; one that stands for days forgets them from time to time."""

ALARMS = {"ALARM_EMAIL": "oncall@example.com"}
"""The address for alarms, which get nowhere: no mail leaves this machine."""

# A profile or a session of the person's own account would win over what is set here.
UNSET = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")


def run(stage: str | None, *, port: int, partner_port: int, env_file: Path, account_concurrency: int) -> int:
    """Run until Ctrl-C or SIGTERM, with `stage` deployed, or nothing if it is None; returns the exit status."""
    console, errors = Screen(), Screen(stderr=True)
    try:
        with sigterm_as_exit():
            _stand(
                console,
                stage,
                port=port,
                partner_port=partner_port,
                env_file=env_file,
                account_concurrency=account_concurrency,
            )
    except (LocalAwsError, BuildError, OSError) as error:
        errors.print(f"spillway local: {error}")
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        errors.print("spillway local: stopped, and nothing is left")
        return INTERRUPTED
    return 0


def _stand(
    console: Console, stage: str | None, *, port: int, partner_port: int, env_file: Path, account_concurrency: int
) -> None:
    def say(text: str) -> None:
        console.print(text)

    def show(exchange: Exchange) -> None:
        say(safe(line_of(exchange, datetime.now().astimezone())))
        if len(api.ledger.calls) >= LEDGER_CALLS:
            api.begin()

    if not is_free(partner_port):
        raise LocalAwsError(f"Port {partner_port} of 127.0.0.1 is in use: choose another --partner-port.")
    for function in FUNCTIONS:
        build(TARGETS["local"], function, ROOT / "build")
    write_release(TARGETS["local"], ROOT / "build")
    api = LoopbackPartner(Behaviour(), watch=show)
    with (
        serve(api, port=partner_port) as partner_url,
        local_aws(port=port, account_concurrency=account_concurrency) as aws,
        written(env_file, exports(aws, partner_url, stage)),
    ):
        say(f"The embedded AWS is at {aws.endpoint_url}, the partner API at {partner_url}.")
        if stage is not None:
            say(f"Deploying the stage {stage}")
            outputs = aws.deploy(stage, env={"WEBHOOK_URL": partner_url, **ALARMS})
            say(f"IngestAliasArn: {outputs['IngestAliasArn']}")
        say(next_steps(stage, env_file))
        aws.process.wait()
        raise LocalAwsError(f"The embedded AWS ended by itself.\n{aws.log_tail()}")


def exports(aws: LocalAws, partner_url: str, stage: str | None) -> dict[str, str]:
    """Return what another shell sets so that its commands are for this AWS and this partner."""
    named = {"STAGE": stage} if stage is not None else {}
    return {**aws.client_settings(), "PKG_TARGET": "local", "WEBHOOK_URL": partner_url, **ALARMS, **named}


@contextmanager
def written(env_file: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Write the file that other shells source, for as long as the block lasts."""
    lines = [
        "# Commands of a shell that has sourced this are for the AWS of `spillway local`.",
        f"unset {' '.join(UNSET)}",
    ]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    env_file.parent.mkdir(parents=True, exist_ok=True)
    env_file.write_text("\n".join(lines) + "\n")
    try:
        yield
    finally:
        env_file.unlink(missing_ok=True)


def next_steps(stage: str | None, env_file: Path) -> str:
    """Say what to do next, in another shell."""
    deploy = [] if stage is not None else ["    make deploy STAGE=production"]
    return "\n".join(
        [
            "Ready. In another shell, in this folder:",
            "    source .venv/bin/activate        # the command spillway",
            f"    source {shlex.quote(str(env_file))}",
            *deploy,
            "Every command is for this AWS then, the AWS CLI too, but its version 1 for SQS: say it there:",
            '    aws --endpoint-url "$AWS_ENDPOINT_URL" sqs list-queues',
            "Each call that the partner gets is a line below; Ctrl-C ends it all.",
        ]
    )
