"""The embedded AWS leaves nothing behind, can be reached only from this machine, and says in a line if something is
missing.
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.local import aws as local
from ops.local.aws import LocalAws, LocalAwsError, local_aws
from tests.e2e.operated import MPARTICLE_ACCOUNT

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def running() -> Iterator[LocalAws]:
    with local_aws() as aws:
        yield aws


def test_nothing_is_left_when_the_block_ends() -> None:
    """Workers, server and files are gone after the block, and the port is free."""
    with local_aws() as running:
        worker_pid = worker_of(running)
        assert is_alive(worker_pid)
    assert until(lambda: not is_alive(worker_pid))
    assert running.process.poll() is not None
    assert not running.folder.exists()
    assert refuses_connections(running)


def test_nothing_is_left_when_the_block_raises() -> None:
    """An exception in the block passes through, after everything has been ended."""
    with pytest.raises(ZeroDivisionError), local_aws() as running:
        raise ZeroDivisionError
    assert running.process.poll() is not None
    assert not running.folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_we_are_ended(number: signal.Signals) -> None:
    """After Ctrl-C, SIGTERM or SIGKILL of the process that started it, no server, worker or file is left."""
    code = (
        "import sys, time\nfrom ops.local.aws import local_aws\n"
        "with local_aws() as aws:\n"
        "    print(aws.process.pid, aws.folder, flush=True)\n"
        "    time.sleep(60)\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert starter.stdout
    with starter.stdout as said:
        pid, folder = said.readline().split(maxsplit=1)
    os.kill(starter.pid, number)
    starter.wait(20)
    assert until(lambda: not is_alive(int(pid)))
    assert until(lambda: not Path(folder.strip()).exists())


def test_it_listens_on_loopback_only(running: LocalAws) -> None:
    """Every socket that it listens on is on 127.0.0.1, so nobody else on the network can reach it."""
    assert {address.rsplit(":", 1)[0] for address in listening(running.process.pid)} == {"127.0.0.1"}


def test_a_port_in_use_is_said_in_one_line() -> None:
    """If the port is in use, one line says so, and nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalAwsError, match=rf"^Port {port} of 127\.0\.0\.1 is in use"), local_aws(port=port):
            pass


def test_a_missing_environment_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without .venv-aws it says which command makes it."""
    monkeypatch.setattr(local, "ROOT", tmp_path)
    with pytest.raises(LocalAwsError, match=r"run `make \.venv-aws`\.$"), local_aws():
        pass


def test_a_missing_deploy_tool_is_said_in_one_line(
    running: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without node_modules one line names the command that makes them; each deploy makes the zips."""
    monkeypatch.setattr(local, "ROOT", tmp_path)
    with pytest.raises(LocalAwsError, match=r"run `make node_modules`\.$"):
        running.serverless("info")


def test_a_client_environment_knows_no_other_aws(running: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that is to use the embedded AWS never gets a profile or a key of the machine's owner."""
    monkeypatch.setenv("AWS_PROFILE", "real")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    env = running.env(account_id=MPARTICLE_ACCOUNT)
    assert "real" not in env.values()
    assert (env["AWS_ACCESS_KEY_ID"], env["AWS_ENDPOINT_URL"]) == (MPARTICLE_ACCOUNT, running.endpoint_url)


def worker_of(aws: LocalAws) -> int:
    """Start a Lambda worker; returns its process id."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("code.py", "import os\ndef handler(event, context): return os.getpid()")
    lambdas = aws.client("lambda")
    lambdas.create_function(
        FunctionName="worker", Runtime="python3.13", Handler="code.handler", Code={"ZipFile": code.getvalue()},
        Role=f"arn:aws:iam::{aws.account_id}:role/any",
    )  # fmt: skip
    return int(json.loads(lambdas.invoke(FunctionName="worker")["Payload"].read()))


def until(met: Callable[[], object], timeout_s: float = 20) -> bool:
    """Poll until a condition is met; returns whether it was."""
    deadline = time.monotonic() + timeout_s
    while not met():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_alive(pid: int) -> bool:
    """Whether a process runs; a process that has ended but was not waited for does not."""
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(status.strip()) and not status.startswith("Z")


def listening(pid: int) -> set[str]:
    """The addresses that a process listens on: from /proc, or without it (macOS) from lsof."""
    if not Path("/proc/net/tcp").exists():
        lsof = ["lsof", "-nP", "-a", "-p", str(pid), "-iTCP", "-sTCP:LISTEN", "-Fn"]
        said = subprocess.run(lsof, capture_output=True, text=True, check=True).stdout
        return {line[1:] for line in said.splitlines() if line.startswith("n")}
    files = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()}
    rows = [row.split() for kind in ("tcp", "tcp6") for row in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]]
    own = [row[1].split(":") for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in files]
    return {f"{'.'.join(str(byte) for byte in reversed(bytes.fromhex(host)))}:{int(port, 16)}" for host, port in own}


def refuses_connections(aws: LocalAws) -> bool:
    """Whether nobody listens any more."""
    host, port = aws.endpoint_url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0
