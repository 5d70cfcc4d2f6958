"""What is done by hand is written down: each verb's act, and what becomes of it where that cannot be written."""

import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from ops.cli import app
from ops.operate import by_hand, cooldowns, pause, stack, suspensions, trail, worker_tick
from ops.operate.dlq import imports, order, purge
from ops.releases import functions, moves
from shared.errors import SpillwayError
from shared.state import DynamoState
from worker_fn.limits.flow import Flow

REPORT = {"probed": False, "resumed": True, "running": True, "trouble": 0}
write_down = trail.act  # before the folder's fixture takes its place


@pytest.mark.parametrize(
    ("verb", "what"),
    [
        (["pause"], "pause"),
        (["resume"], "resume"),
        (["probe"], "probe"),
        (["suspensions", "clear", "7", "8"], "suspensions clear 7, 8"),
        (["suspensions", "clear", "--all"], "suspensions clear --all"),
        (["cooldown", "end"], "cooldown end of everybody"),
        (["cooldown", "end", "--account", "7"], "cooldown end 7"),
        (["cooldown", "end", "--all"], "cooldown end --all"),
        (["limit", "set", "30", "--for", "2h"], "limit set 30 for 2h of everybody"),
        (["limit", "set", "2.5", "--for", "2h", "--account", "7"], "limit set 2.5 for 2h of account 7"),
        (["limit", "clear", "--account", "7", "--endpoint", "bulk"], "limit clear of account 7 at bulk"),
        (["breaker", "open", "--for", "30min"], "breaker open for 30min"),
        (["breaker", "close"], "breaker close"),
        (["breaker", "close", "--for", "30min"], "breaker close for 30min"),
        (["promote", "--stage", "x"], "promote"),
        (["promote", "--stage", "x", "--to", "7"], "promote --to 7"),
        (["rollback", "--stage", "x"], "rollback"),
    ],
)
def test_a_verb_that_changes_something_says_so_in_the_trail(
    verb: list[str], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the operator's reason, before it acts."""
    acts: list[tuple[str, str]] = []

    @contextmanager
    def noting(_: object, done: str, *, why: str = "") -> Iterator[trail.Act]:
        acts.append((done, why))
        yield trail.Act(0, "", done)

    def must_be_noted(answer: Any) -> Callable[..., Any]:
        def verb_of(*_: object, **__: object) -> Any:
            assert acts
            return answer

        return verb_of

    monkeypatch.setattr(trail, "act", noting)
    monkeypatch.setattr(stack, "find_stack", lambda _: None)
    monkeypatch.setattr(pause, "pause", must_be_noted(True))
    monkeypatch.setattr(pause, "current", lambda _: None)
    monkeypatch.setattr(pause, "standing", lambda *_: "paused")
    monkeypatch.setattr(pause, "resume", must_be_noted(REPORT))
    monkeypatch.setattr(worker_tick, "run", must_be_noted(REPORT))
    monkeypatch.setattr(suspensions, "clear_accounts", must_be_noted(suspensions.Cleared(["7"])))
    monkeypatch.setattr(suspensions, "move_back", lambda _, cleared, **__: cleared)
    monkeypatch.setattr(cooldowns, "end", must_be_noted([cooldowns.CoolDown("7", None, 1, 2)]))
    monkeypatch.setattr(by_hand, "checked_rate", lambda *_: 50.0)
    for verb_by_hand, answer in (("set_limit", Flow()), ("clear_limit", True), ("open_breaker", None)):
        monkeypatch.setattr(by_hand, verb_by_hand, must_be_noted(answer))
    monkeypatch.setattr(by_hand, "close_breaker", must_be_noted(True))
    monkeypatch.setattr(functions, "DeployedFunctions", lambda _: None)
    monkeypatch.setattr(moves, "promote", must_be_noted(["moved"]))
    monkeypatch.setattr(moves, "rollback", must_be_noted(["moved"]))
    done = CliRunner().invoke(app, [*verb, "--why", "mended"])
    assert done.exit_code == 0, done.output
    assert acts == [(what, "mended")]


def test_a_pause_keeps_and_shows_no_address_of_anybody() -> None:
    """Also one that an earlier release wrote down."""
    assert pause.checked_why("jane@example.com says stop") == "*** says stop"
    written = pause.Pause.from_value({"why": "jane@example.com says stop", "since_ms": 1})
    assert written is not None
    assert "*** says stop" in written.said(2)
    assert "jane" not in written.said(2)


@pytest.mark.parametrize("value", [{"why": 5}, {"why": "x", "since_ms": "x"}, {"since_ms": None}, {"other": 1}])
def test_whatever_pauses_the_worker_is_shown_as_a_pause(value: dict[str, object]) -> None:
    """An item that another hand wrote: who is on call sees it, and can end it."""
    written = pause.Pause.from_value(value)
    assert written is not None
    assert written.said(2).startswith("paused since 1970-01-01 00:00 UTC")


@pytest.mark.parametrize(
    ("found", "report", "result"),
    [
        (None, REPORT, "it was not paused by an operator; resumed: batches arrive within a minute"),
        (
            pause.Pause("w", 1),
            {**REPORT, "resumed": False, "running": False, "stopped_by": "the open breaker"},
            "the operator's pause is over; the intake stays stopped by the open breaker",
        ),
    ],
)
def test_what_a_resume_came_to_is_noted(
    found: pause.Pause | None, report: dict[str, Any], result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that it is done, where there was nothing to end or the intake stays stopped."""
    noted = trail.Act(0, "", "resume")
    monkeypatch.setattr(trail, "act", lambda *_, **__: nullcontext(noted))
    monkeypatch.setattr(stack, "find_stack", lambda _: None)
    monkeypatch.setattr(pause, "current", lambda _: found)
    monkeypatch.setattr(pause, "resume", lambda _: report)
    done = CliRunner().invoke(app, ["resume"])
    assert done.exit_code == (0 if report["resumed"] else 1)
    assert noted.result == result


def test_a_pause_that_says_no_reason_is_no_act(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was done; one line says what to give."""
    acts: list[str] = []
    monkeypatch.setattr(trail, "act", lambda _, done, **__: acts.append(done))
    monkeypatch.setattr(stack, "find_stack", lambda _: None)
    for why in ("", " ", "two\nlines", "x" * 201):
        done = CliRunner().invoke(app, ["pause", "--why", why])
        assert (done.exit_code, done.output.count("\n")) == (2, 1)
        assert "why" in done.output
    assert acts == []


def test_every_verb_of_dead_letters_that_acts_is_noted() -> None:
    """By its code: what is planned or looked at is none."""
    for what, module in (("dlq redrive", order), ("dlq purge", purge), ("dlq import", imports)):
        code = inspect.getsource(module)
        assert f'trail.act(desk.stack, f"{what}' in code


class Table:
    """A state table and STS as boto3 clients; `error` makes every call fail."""

    class exceptions:  # noqa: N801 - boto3's name
        class ConditionalCheckFailedException(Exception):
            pass

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.items = error, list[dict[str, Any]]()

    def client(self, _: str, **config: Any) -> "Table":
        assert config["read_timeout"] <= 2  # nobody's rollback waits for the trail
        return self

    def state(self, **config: Any) -> DynamoState:
        return DynamoState(self.client("dynamodb", **config), "state")

    def get_caller_identity(self) -> dict[str, str]:
        if self.error:
            raise self.error
        return {"Arn": "arn:aws:sts::123456789012:assumed-role/ops/jane"}

    def update_item(self, **given: Any) -> dict[str, Any]:
        if self.error:
            raise self.error
        values = given["ExpressionAttributeValues"]
        row = given["Key"] | {name: values[f":{name}"] for name in ("rev", "value", "by", "expires_at")}
        self.items.append(row)
        return {"Attributes": row, "ResponseMetadata": {"HTTPHeaders": {}}}

    def acts(self) -> list[dict[str, Any]]:
        return [json.loads(one["value"]["S"]) for one in self.items]


def test_an_act_is_written_before_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    """Under one key that expires; one that was cut off in between has no end."""
    table = Table()
    with write_down(table, "dlq purge (all letters), 3 letters", why="for jane@example.com") as noted:  # type: ignore[arg-type]
        (begun,) = table.acts()
        noted.result = "3 of 3 deleted"
    assert table.acts()[1] == {**begun, "result": "3 of 3 deleted"}
    assert "result" not in begun
    assert (begun["who"], begun["why"]) == ("assumed-role/ops/jane", "for ***")
    first, second = table.items
    assert first["sk"] == second["sk"]
    assert int(first["expires_at"]["N"]) * 1_000 - begun["at_ms"] == pytest.approx(trail.ACT_KEPT_S * 1_000, abs=1_000)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [SpillwayError("x"), KeyboardInterrupt(), RuntimeError("CANARY")])
def test_what_failed_says_so(error: BaseException) -> None:
    """By its kind alone."""
    table = Table()
    with pytest.raises(type(error)), write_down(table, "resume"):  # type: ignore[arg-type]
        raise error
    assert table.acts()[1]["result"] == f"failed: {type(error).__name__}"


def test_a_trail_that_cannot_be_written_is_said_once_and_holds_up_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """An operator without the permission, a table that is gone."""
    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "CANARY"}}, "UpdateItem")
    done = []
    with write_down(Table(denied), "rollback") as noted:  # type: ignore[arg-type]
        done.append(noted.who)
    assert done == [trail.UNKNOWN]
    said = capsys.readouterr().err
    assert said.startswith("spillway: this is not in the trail: ")
    assert said.count("\n") == 1
    assert "CANARY" not in said
