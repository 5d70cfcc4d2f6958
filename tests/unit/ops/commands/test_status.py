"""`spillway status`: one screen, or one after the other."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.operate import stack, status
from ops.operate.stack import StackUnavailable


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What each look comes to; after the last of them somebody stops it."""

    def become(*answers: object) -> None:
        left = iter(answers)

        def look(*_: object, **__: object) -> Any:
            answer = next(left, KeyboardInterrupt())
            if isinstance(answer, BaseException):
                raise answer
            return answer

        monkeypatch.setattr(stack, "find_stack", lambda _: None)
        monkeypatch.setattr(status, "look", look)
        monkeypatch.setattr(time, "sleep", lambda _: None)

    return become


def test_a_watch_outlasts_a_look_that_failed(looks: Callable[..., None]) -> None:
    """It is said, and looked again."""
    looks(StackUnavailable("throttled"), status.Status("dev", 1_800_000_000_000, mapping="Enabled"))
    done = CliRunner().invoke(app, ["status", "--watch"])
    assert "spillway: throttled" in done.stderr
    assert "All is well" in done.stdout


def test_a_single_look_that_failed_ends_with_2(looks: Callable[..., None]) -> None:
    """In one line."""
    looks(StackUnavailable("throttled"))
    done = CliRunner().invoke(app, ["status"])
    assert (done.exit_code, done.stderr) == (2, "spillway: throttled\n")
