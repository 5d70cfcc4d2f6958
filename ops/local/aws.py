"""An AWS on this machine: MiniStack in a process group of its own, and the real `serverless deploy` against it.

    with local_aws() as aws:
        outputs = aws.deploy(env={"WEBHOOK_URL": "http://127.0.0.1:9000/"})
        aws.client("lambda", account_id="338661164609").invoke(FunctionName=outputs["IngestAliasArn"], ...)

It listens on 127.0.0.1 alone, keeps its files in one temporary folder, and leaves neither a process nor a file behind,
however it ends: on return, on an exception, on Ctrl-C, on SIGTERM, and when we are killed outright (MiniStack's side of
that is `die_with_parent` in ministack_shims).
"""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import boto3
from botocore.config import Config

from infra.stage import ROOT
from ops.operate.stack import DEFAULT_POD, stack_name

REGION = "us-east-1"
DEPLOYING_ACCOUNT = "000000000000"
START_TIMEOUT_S = 60.0
DEPLOY_TIMEOUT_S = 300.0
STOP_GRACE_S = 5.0
LOG_TAIL_LINES = 25
SIGTERM_STATUS = 128 + signal.SIGTERM

THROWN_AWAY = {"PKG_TARGET": "local", "STAGE_FILE": "", "DATA": "delete", "ALLOW": "all", "YES": "1"}
"""A stage of this machine: it has no file, and nobody is asked before it is changed or removed with all its data."""


class LocalAwsError(Exception):
    """The embedded AWS cannot start, or a deploy to it failed; the text says what to run, or what the tool said."""


@dataclass
class LocalAws:
    """A running MiniStack."""

    endpoint_url: str
    folder: Path
    process: subprocess.Popen[bytes]
    account_id: str = DEPLOYING_ACCOUNT
    region: str = REGION

    def env(self, account_id: str | None = None) -> dict[str, str]:
        """Return a whole environment for a client process: ours, with this AWS in place of any other."""
        return {**without_aws(os.environ), **self.client_settings(account_id)}

    def client_settings(self, account_id: str | None = None) -> dict[str, str]:
        """Return the variables that make a client process use this AWS as an account.

        MiniStack takes an access key of 12 digits for the account that calls.
        """
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": account_id or self.account_id,
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            # How often serverless asks whether CloudFormation is done: 5 s by default, longer than a local deploy.
            "SLS_AWS_MONITORING_FREQUENCY": "500",
            # Node's warning about its own age would hide the actual error.
            "NODE_NO_WARNINGS": "1",
        }

    def client(self, service: str, account_id: str | None = None, **config: Any) -> Any:
        """Return a boto3 client that calls as an account. It never retries unless told to: a throttle must be seen."""
        settings = {
            "retries": {"total_max_attempts": 1},
            "connect_timeout": 5,
            "read_timeout": 120,
            "proxies": {},
            **config,
        }
        session = boto3.session.Session(
            aws_access_key_id=account_id or self.account_id,
            aws_secret_access_key="local",  # noqa: S106 - MiniStack asks for one and checks none
            region_name=self.region,
        )
        return session.client(service, endpoint_url=self.endpoint_url, config=Config(**settings))

    def serverless(
        self, *arguments: str, stage: str = "local", env: Mapping[str, str] | None = None, cwd: Path = ROOT
    ) -> str:
        """Run the real `serverless` in a service's folder; returns what it printed. Raises LocalAwsError with it."""
        script = ROOT / "node_modules" / "osls" / "bin" / "serverless.js"
        node = shutil.which("node")
        if not script.is_file():
            raise LocalAwsError("There is no deploy tool yet: run `make node_modules`.")
        if node is None:
            raise LocalAwsError("There is no node on the PATH: Spillway deploys with Node.")
        # Its own process group: Ctrl-C reaches us alone, and we end it with everything it started.
        process = subprocess.Popen(
            [node, str(script), *arguments, "--stage", stage],
            cwd=cwd, env={**self.env(), **THROWN_AWAY, **(env or {})}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=DEPLOY_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise LocalAwsError(
                f"serverless {arguments[0]} did not end in {DEPLOY_TIMEOUT_S:.0f} s.\n{self.log_tail()}"
            ) from None
        finally:
            if process.poll() is None:
                end_group(process, grace_s=0)
        if process.returncode != 0:
            raise LocalAwsError(f"serverless {' '.join(arguments)} failed:\n{output.strip()}\n\n{self.log_tail()}")
        return output

    def deploy(
        self,
        stage: str = "local",
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        arguments: Sequence[str] = (),
    ) -> dict[str, str]:
        """Deploy a service with zips of what is here, and return its stack's outputs. Raises LocalAwsError.

        `env` is what a person would put before `make deploy` (WEBHOOK_URL, MAX_CONCURRENCY, ALIAS_MODE, ...).
        """
        with one_at_a_time(ROOT / "build" / f".deploying-{service_name(cwd)}"):
            self.serverless("deploy", *arguments, stage=stage, env=env, cwd=cwd)
        pod = (env or {}).get("POD", os.environ.get("POD", DEFAULT_POD))
        return self.outputs(stack_name(stage, pod) if cwd == ROOT else f"{service_name(cwd)}-{stage}")

    def outputs(self, stack: str) -> dict[str, str]:
        """Return the outputs of a deployed stack."""
        (found,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """Return the end of MiniStack's log, to show when something went wrong."""
        log = self.folder / "server.log"
        text = log.read_text(errors="replace").splitlines() if log.is_file() else []
        return "\n".join(["The embedded AWS's log ends with:", *text[-lines:]])

    def stop(self) -> None:
        """End MiniStack and every Lambda worker, and remove its files. May be called twice."""
        end_group(self.process, STOP_GRACE_S)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def local_aws(
    *, account_concurrency: int = 100, port: int | None = None, shims: str = "all", enforce_iam: bool = False
) -> Iterator[LocalAws]:
    """Run an AWS for as long as the block lasts. Raises LocalAwsError if it cannot start.

    `account_concurrency` is the account's limit of concurrent executions, and the most worker processes that there
    can be: each holds 50 to 60 MB. `enforce_iam` makes it check signatures, and functions may do what their roles
    allow and nothing else; whoever calls with an account id for a key is that account's root.
    """
    with sigterm_as_exit():
        aws = start(account_concurrency=account_concurrency, port=port, shims=shims, enforce_iam=enforce_iam)
        try:
            yield aws
        finally:
            aws.stop()


def start(*, account_concurrency: int, port: int | None, shims: str, enforce_iam: bool) -> LocalAws:
    """Start MiniStack and wait until it answers."""
    python = ROOT / ".venv-aws" / "bin" / "python"
    if not python.exists():
        raise LocalAwsError("The embedded AWS is not installed yet: run `make .venv-aws`.")
    if port is not None and not is_free(port):
        raise LocalAwsError(f"Port {port} of 127.0.0.1 is in use: choose another one, or none for a free one.")
    chosen = port or free_port()
    folder = Path(tempfile.mkdtemp(prefix="spillway-aws-"))
    aws: LocalAws | None = None
    try:
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                # -P: the script's folder stays off the module path, its neighbours are not MiniStack's business.
                [str(python), "-P", str(Path(__file__).with_name("ministack_shims.py"))],
                env=server_env(chosen, folder, account_concurrency, shims, enforce_iam),
                cwd=folder, start_new_session=True,
                # Held open by us alone: when it closes, we are gone.
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        aws = LocalAws(f"http://127.0.0.1:{chosen}", folder, process)
        wait_until_healthy(aws)
    except BaseException:
        if aws:
            aws.stop()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return aws


def server_env(port: int, folder: Path, account_concurrency: int, shims: str, enforce_iam: bool) -> dict[str, str]:
    """Return MiniStack's environment. Its Lambda workers inherit it, so it holds nothing of ours that could leak in."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "LAMBDA_ACCOUNT_CONCURRENCY": str(account_concurrency),
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "s3"),
        "TMPDIR": str(folder),
        "AUTH": str(enforce_iam).lower(),
        "LOG_LEVEL": "WARNING",
        "SPILLWAY_SHIMS": shims,
        # Services that would open ports of their own, and a Docker that is none of its business.
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": f"unix://{folder}/no-docker",
    }


def wait_until_healthy(aws: LocalAws) -> None:
    """Return when MiniStack answers. Raises LocalAwsError if it ends or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT_S
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        if aws.process.poll() is not None:
            raise LocalAwsError(f"The embedded AWS ended while it started.\n{aws.log_tail()}")
        try:
            with direct.open(f"{aws.endpoint_url}/_ministack/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.05)
    raise LocalAwsError(f"The embedded AWS did not answer within {START_TIMEOUT_S:.0f} s.\n{aws.log_tail()}")


def end_group(process: subprocess.Popen[Any], grace_s: float) -> None:
    """End a process that leads a group of its own, and everybody in that group: politely at first, then for good."""
    with suppress(ProcessLookupError, PermissionError):  # everybody has gone already
        if grace_s:
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace_s)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()


@contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM leave the block as Ctrl-C does, with status 143, so that the processes that we started end, too.

    It takes the way of Ctrl-C because asyncio knows that one: its tasks are cancelled, and nothing is raised amid them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def leave(_number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        interrupt = signal.getsignal(signal.SIGINT)
        if not callable(interrupt):  # a shell's background job ignores Ctrl-C
            sys.exit(SIGTERM_STATUS)
        interrupt(signal.SIGINT, frame)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except KeyboardInterrupt:
        if asked:
            sys.exit(SIGTERM_STATUS)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Wait for others that deploy from this checkout: serverless keeps its package in the service's folder."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    """Drop what would point a client at a real account: profile, keys, endpoints."""
    return {name: value for name, value in environment.items() if not name.startswith("AWS_")}


def service_name(folder: Path) -> str:
    """Read a service's name from its serverless.yml, whose CloudFormation tags a YAML parser does not know."""
    named = re.search(r"^service: *([A-Za-z0-9_-]+)", (folder / "serverless.yml").read_text(), re.MULTILINE)
    if not named:
        raise LocalAwsError(f"{folder / 'serverless.yml'} names no service.")
    return named[1]


def free_port() -> int:
    """Ask the system for a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Tell whether a port can be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
