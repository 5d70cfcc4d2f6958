"""A function as Lambda runs it: its code in a folder, Lambda's runtime client, and only Lambda's variables."""

import queue
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.measure import CannotMeasure, Sample
from bench.stand.cpu import cpu_s
from bench.stand.runtime_api import RuntimeApi
from infra.stage import ROOT

PYTHON = ROOT / ".venv-bench/bin/python"
LAMBDA = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_SESSION_TOKEN": "not-a-token" * 40,  # about as long as a real one
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_LAMBDA_FUNCTION_NAME": "bench",
    "AWS_LAMBDA_FUNCTION_VERSION": "1",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/bench",
}


@dataclass(frozen=True, slots=True)
class Code:
    """`folder` takes the place of /var/task; `beside` has folders that only a benchmark adds to the path."""

    name: str
    folder: Path
    handler: str
    env: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Invoked:
    """How an invocation ended, and the time that it took from its start until its answer was received."""

    kind: str
    body: bytes
    sample: Sample


class Function:
    """One execution environment; its log goes to a file."""

    def __init__(self, code: Code, env: Mapping[str, str]) -> None:
        self._code = code
        self._env = {**LAMBDA, **env, **code.env}
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        self._api = self._ends.enter_context(RuntimeApi())
        self._log = self._ends.enter_context(tempfile.TemporaryFile("a+b"))
        folder = str(self._code.folder)
        at = {"AWS_LAMBDA_RUNTIME_API": self._api.address, "LAMBDA_TASK_ROOT": folder}
        paths = ":".join(map(str, (folder, *self._code.beside)))
        self._began_s = time.perf_counter()
        self._process = subprocess.Popen(
            [str(PYTHON), "-m", "awslambdaric", self._code.handler],
            cwd=folder, env={**self._env, **at, "PYTHONPATH": paths}, stdout=self._log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        self._ends.close()

    def first(self, payload: bytes) -> Invoked:
        """The first invocation: its times are from the start of the process."""
        kind, body = self._invoke(payload)
        wall_s = time.perf_counter() - self._began_s
        return Invoked(kind, body, Sample(cpu_s=cpu_s(self._process.pid), wall_s=wall_s))

    def next(self, payload: bytes) -> Invoked:
        """A later invocation."""
        before_s, began_s = cpu_s(self._process.pid), time.perf_counter()
        kind, body = self._invoke(payload)
        wall_s = time.perf_counter() - began_s
        return Invoked(kind, body, Sample(cpu_s=cpu_s(self._process.pid) - before_s, wall_s=wall_s))

    def _invoke(self, payload: bytes) -> tuple[str, bytes]:
        """Raises CannotMeasure with what the function wrote, if it ends with an error or not at all."""
        try:
            kind, body = self._api.invoke(payload)
        except queue.Empty:
            kind, body = "nothing", b""
        if kind != "response":
            raise CannotMeasure(f"{self._code.name} answered {kind}: {body[:500]!r} {self.said()[-1_000:]}")
        return kind, body

    def said(self) -> str:
        """What the function has written to its log."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")
