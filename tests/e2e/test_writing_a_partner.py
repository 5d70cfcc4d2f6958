"""docs/writing-a-partner.md, followed by somebody who does exactly what the page says, in a copy of the project."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from ops.local.aws import free_port

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "writing-a-partner.md"
COPIED = ("docs", "infra", "ingest_fn", "ops", "partners", "requirements", "shared", "testkit", "tests", "worker_fn")
FILES = ("Makefile", "README.md", "package.json", "package-lock.json", "pyproject.toml", "serverless.yml")
STAYS = "make local"
PARTNER_PORT = "4611"
"""The documented port: a test takes a free one instead."""


class Block(NamedTuple):
    """A fenced block, and the last line of prose above it."""

    language: str
    text: str
    above: str


def blocks() -> Iterator[Block]:
    above = ""
    lines = iter(DOCUMENT.read_text().splitlines())
    for line in lines:
        if line.startswith("```"):
            language, text = line.removeprefix("```"), ""
            for inside in lines:
                if inside == "```":
                    break
                text += f"{inside}\n"
            yield Block(language, text, above)
        elif line:
            above = line


class Reader:
    """Follows the document in a copy of the project."""

    def __init__(self, folder: Path, tools: Path) -> None:
        self.folder = folder
        self.said = ""
        self.standing: subprocess.Popen[str] | None = None
        self.stood = ""
        self.ports = (free_port(), free_port())
        keep = ("PATH", "LANG", "TMPDIR")
        self.env = {name: os.environ[name] for name in keep if name in os.environ}
        self.env |= {"PATH": f"{tools}:{self.env['PATH']}", "PYTHONPATH": str(folder), "HOME": str(tools)}
        self.sourced = ""

    def follow(self, block: Block) -> None:
        """Do what a block of the page says."""
        match block.language:
            case "sh" if STAYS in block.text:
                self.stay(block.text)
            case "sh":
                self.said = self.run(block.text)
            case "text" if STAYS in block.above:
                self.wait_for(block.text.splitlines())
            case "text":
                for line in block.text.splitlines():
                    assert line in self.said, f"the document says {line!r}; it was:\n{self.said}"
            case "diff":
                self.run(f"git apply - <<'EOF'\n{block.text}EOF\n")
            case "python":
                [named] = re.findall(r"^Add to `(.+)`:$", block.above)
                with (self.folder / named).open("a") as file:
                    file.write(f"\n\n{block.text}")
            case other:
                raise AssertionError(f"nobody knows what to do with a block of {other!r}")

    def run(self, commands: str) -> str:
        done = subprocess.run(
            self.shell(commands), cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"{commands}\n{done.stdout}"
        return done.stdout

    def shell(self, commands: str) -> list[str]:
        """Run some commands in a shell; what an earlier shell sourced is in effect in it, too."""
        text = (self.sourced + commands).replace(PARTNER_PORT, str(self.ports[1]))
        text = text.replace("--max-ms 1000", "--max-ms 60000")  # speed decides no test: this machine may be busy
        self.sourced += "".join(line for line in commands.splitlines(keepends=True) if line.startswith("source "))
        return ["bash", "-eu", "-o", "pipefail", "-c", text]

    def stay(self, commands: str) -> None:
        """Start a command that keeps running, and wait until it is ready."""
        arguments = f'ARGS="--port {self.ports[0]} --partner-port {self.ports[1]}"'
        self.standing = subprocess.Popen(
            self.shell(f"exec env {commands.strip()} {arguments}"), cwd=self.folder, env=self.env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.listener = threading.Thread(target=self.listen)
        self.listener.start()
        self.wait_for(["Ready."])

    def listen(self) -> None:
        assert self.standing
        assert self.standing.stdout
        for line in self.standing.stdout:
            self.stood += line

    def wait_for(self, lines: list[str]) -> None:
        """Wait until the running command has printed all of these."""
        assert self.standing
        deadline = time.monotonic() + 240
        while not all(line in self.stood for line in lines):
            assert self.standing.poll() is None, f"it ended:\n{self.stood}"
            assert time.monotonic() < deadline, f"{lines} did not come:\n{self.stood}"
            time.sleep(0.1)

    def end(self) -> None:
        """Send Ctrl-C, and wait until all processes have ended."""
        if self.standing is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.standing.pid, signal.SIGINT)
        self.listener.join(60)
        self.standing.wait(60)
        assert self.standing.stdout
        self.standing.stdout.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A copy of the project after its set-up; it uses this checkout's environments, and changes none of them."""
    folder, tools = tmp_path / "spillway", tmp_path / "tools"
    ignored = shutil.ignore_patterns("__pycache__", ".serverless")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    for name in ("node_modules", ".venv-aws"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "build").mkdir()
    (folder / "build/.packages").symlink_to(ROOT / "build/.packages")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for place, names in ((folder / ".venv/bin", ("python",)), (tools, ("spillway", "pytest", "ruff", "mypy"))):
        place.mkdir(parents=True)
        for name in names:
            module = {"python": "", "spillway": "-m ops.cli"}.get(name, f"-m {name}")
            (place / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
            (place / name).chmod(0o755)
    for file in (*folder.glob("*"), *folder.glob("requirements/*")):
        if file.is_file():
            os.utime(file, (0, 0))  # older than what make set up of it
    for stamp in (f".stamp-{version}", ".stamp-project"):
        (folder / ".venv" / stamp).touch()
    made = Reader(folder, tools)
    yield made
    made.end()


def test_a_new_user_who_follows_the_document_has_a_partner_that_is_certified(reader: Reader) -> None:
    """Every block of the page, in order, prints the output that the page shows, the new partner's calls arrive, and
    mParticle would accept the partner.
    """
    languages = [block.language for block in blocks()]
    assert languages.count("sh") > 8
    assert any("spillway certify" in block.text for block in blocks())
    for block in blocks():
        reader.follow(block)
    assert reader.standing is not None
    reader.wait_for(["200  POST /v1/users", "200  POST /v1/events/bulk"])
