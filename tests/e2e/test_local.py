"""`spillway local` runs until it is stopped, other shells can use its AWS, and it leaves nothing behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest

from ops.local.aws import free_port, one_at_a_time
from tests.e2e.operated import MPARTICLE_ACCOUNT

ROOT = Path(__file__).parents[2]
EVENT = {"type": "custom_event", "id": "0a1b2c3d-e4f5", "timestamp_ms": 1700000000000}
REQUEST = {
    "type": "event_processing_request",
    "id": "request-1",
    "timestamp_ms": 1700000000000,
    "account": {"account_id": 5001, "account_settings": {"apiKey": "canary"}},
    "user_identities": [{"type": "email", "encoding": "raw", "value": "canary@example.org"}],
    "events": [EVENT],
}


class Standing:
    """A `spillway local` on ports of its own."""

    def __init__(self, process: "subprocess.Popen[str]", env_file: Path, port: int, partner_port: int) -> None:
        self.process, self.env_file, self.port, self.partner_port = process, env_file, port, partner_port

    def until(self, pattern: str) -> str:
        """Read the output until a line matches; returns all that was read."""
        assert self.process.stdout
        seen = ""
        for line in self.process.stdout:
            seen += line
            if re.search(pattern, line):
                return seen
        raise AssertionError(f"it ended before it said {pattern}:\n{seen}")

    def shell(self, command: str) -> str:
        """Run a command in a shell that has sourced the file of `spillway local`."""
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", f"source '{self.env_file}'\n{command}"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def standing(folder: Path, *arguments: str) -> Iterator[Standing]:
    env_file, port, partner_port = folder / "env", free_port(), free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "local", f"--port={port}", f"--partner-port={partner_port}",
         f"--env-file={env_file}", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ},  # said, for readline, which pytest loads, tells children of a width that no terminal has
    )  # fmt: skip
    try:
        yield Standing(process, env_file, port, partner_port)
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def refuses_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_another_shell_deploys_production_with_the_command_for_aws(tmp_path: Path) -> None:
    """After sourcing the file, `make deploy STAGE=production` works: each event is delivered and shown as a masked
    line, and the end is clean.
    """
    with standing(tmp_path, "--no-deploy") as local:
        told = local.until("^Each call")
        assert f"source .venv/bin/activate        # the command spillway\n    source {local.env_file}\n" in told
        assert f"source {local.env_file}\n    make deploy STAGE=production" in told
        assert 'aws --endpoint-url "$AWS_ENDPOINT_URL" sqs' in told
        with one_at_a_time(ROOT / "build/.deploying-spillway"):  # as LocalAws.deploy does: others deploy from here, too
            said = local.shell("make deploy STAGE=production")
        (arn,) = re.findall(r"to give to mParticle: (\S+)", said)
        mparticle = boto3.client(
            "lambda", endpoint_url=f"http://127.0.0.1:{local.port}", region_name="us-east-1",
            aws_access_key_id=MPARTICLE_ACCOUNT, aws_secret_access_key="local",
        )  # fmt: skip
        answer = mparticle.invoke(FunctionName=arn, Payload=json.dumps(REQUEST))
        assert "FunctionError" not in answer
        line = local.until("POST").splitlines()[-1]
        assert re.search(
            r"200  POST /events  [\d,]+ B  account 5001  custom_event 0a1b2c3d…  authorization: \*\*\*$", line
        )
        assert "canary" not in line
        local.shell("node node_modules/osls/bin/serverless.js remove --stage production --yes")
        assert local.end(signal.SIGTERM) == 143
        assert not local.env_file.exists()
        assert refuses_connections(local.port)
        assert refuses_connections(local.partner_port)


def test_it_deploys_a_stage_by_itself(tmp_path: Path) -> None:
    """By default it deploys a stack whose name a shell gets from the sourced file; Ctrl-C ends it."""
    with standing(tmp_path) as local:
        assert "IngestAliasArn: arn:aws:lambda:" in local.until("^Each call")
        assert local.shell('echo "$STAGE $PKG_TARGET $WEBHOOK_URL"').split() == [
            "local", "local", f"http://127.0.0.1:{local.partner_port}/events",
        ]  # fmt: skip
        assert local.end(signal.SIGINT) == 130
        assert not local.env_file.exists()


@pytest.mark.parametrize("option", ["--port", "--partner-port"])
def test_a_port_in_use_is_said_in_one_line(tmp_path: Path, option: str) -> None:
    """If a port is in use, one line names it, and nothing is started or written."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with standing(tmp_path, f"{option}={port}") as local:
            assert re.fullmatch(
                rf"spillway local: Port {port} of 127\.0\.0\.1 is in use: choose .*\n", local.until("in use")
            )
            assert local.process.wait(30) == 2
            assert not local.env_file.exists()
