"""An integration in this process, called as mParticle would call it, on time that is only counted."""

import importlib.util
import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from ops.certify.checks import CHECKS
from ops.certify.exchange import Answer, Ending, Sent, Token
from ops.certify.play import Player, Result
from ops.certify.script import Script
from ops.certify.targets import rule_ms

INTEGRATION = Path(__file__).parents[3] / "fixtures" / "bad_integration" / "integration.py"
NOW_MS = 1_790_000_000_000
ANSWER_MS = 3.0


def load_integration() -> Any:
    spec = importlib.util.spec_from_file_location("bad_integration", INTEGRATION)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class InProcess:
    """A target without sockets. `executions` is how many may run at once, as reserved concurrency has it."""

    has_token = False
    speaks_http = False
    qualified = True
    timeout_s = 20.0

    def __init__(self, *faults: str, executions: int = 1_000, busy_status: int = 429, at_once: int = 0) -> None:
        self.name = "in-process"
        self.module = load_integration()
        self.local = threading.local()
        self.integration = self.module.Integration(faults, wait=self._wait, clock=lambda: NOW_MS / 1000)
        self.free = threading.Semaphore(executions)
        self.busy_status = busy_status
        self.meet = threading.Barrier(at_once) if at_once else None
        self.sent: list[Sent] = []

    def round_trip_ms(self) -> float | None:
        return 1.0

    def send(self, sent: Sent) -> Answer:
        self.sent.append(sent)
        self.local.waited_s = 0.0
        got_one = self.free.acquire(blocking=False)
        if self.meet and sent.label == "a request of the burst":
            self.meet.wait(30)
        if not got_one:
            ending = Ending.THROTTLED if self.busy_status == 429 else Ending.REFUSED
            return Answer(ending, self.busy_status, b"{}", ANSWER_MS)
        try:
            ending, status, payload, content_type = self._run(sent)
        finally:
            self.free.release()
        ms = ANSWER_MS + 1000 * self.local.waited_s
        if ms > 1000 * self.timeout_s:
            return Answer(Ending.TIMED_OUT, 0, b"", 1000 * self.timeout_s)
        return Answer(ending, status, payload, ms, content_type)

    def _run(self, sent: Sent) -> tuple[Ending, int, bytes, str]:
        try:
            answer = self.integration.answer(json.loads(sent.body))
        except Exception as error:
            told = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return Ending.FUNCTION_ERROR, 200, json.dumps(told).encode(), "application/json"
        return Ending.ANSWERED, 200, json.dumps(answer).encode(), "application/json"

    def _wait(self, wait_s: float) -> None:
        self.local.waited_s += wait_s


class InProcessHttp(InProcess):
    """The same by HTTP."""

    speaks_http = True
    has_token = True

    def _run(self, sent: Sent) -> tuple[Ending, int, bytes, str]:
        token = {Token.RIGHT: self.module.TOKEN, Token.WRONG: "wrong", Token.NONE: ""}[sent.token]
        authorization = f"Token {token}" if token else ""
        try:
            status, content_type, payload = self.integration.http(sent.method, authorization, sent.body)
        except Exception:
            status, content_type, payload = 502, "application/json", b'{"message":"Internal Server Error"}'
        ending = Ending.ANSWERED if status < 300 else Ending.REFUSED
        return ending, status, payload, content_type


def _play(
    target: InProcess, *, checks: Iterable[Any] = CHECKS, clock: Any = lambda: 0.0, limit_ms: float = 0.0, **script: Any
) -> Result:
    given: dict[str, Any] = {
        "now_ms": NOW_MS,
        "http": target.speaks_http,
        "has_token": target.has_token,
        "burst": 4,
        "calls": 4,
        **script,
    }
    player = Player(target, Script(**given), limit_ms or rule_ms(target), clock, tuple(checks))
    return player.play(player.register())


@pytest.fixture
def target() -> type[InProcess]:
    return InProcess


@pytest.fixture
def http_target() -> type[InProcessHttp]:
    return InProcessHttp


@pytest.fixture
def play() -> Callable[..., Result]:
    return _play
