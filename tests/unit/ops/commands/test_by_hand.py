"""`spillway limit` and `spillway breaker`: what is refused before anything is done, in one clear line."""

from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.operate import by_hand, stack
from ops.operate.by_hand import declared_by
from ops.operate.dlq import forecast
from ops.operate.dlq.forecast import Deployed
from ops.operate.scope import Scope
from partners import Bulk, Limits, Rate
from shared.errors import InvalidSettings
from shared.state import PARTNER, Item
from worker_fn.limits.flow import Flow

SET = ["limit", "set", "30", "--for", "2h", "--why", "they asked"]
OPEN = ["breaker", "open", "--for", "2h", "--why", "they asked"]


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks for a stack has passed the checks."""

    def find_stack(_: str) -> None:
        raise AssertionError("nothing should be looked for")

    monkeypatch.setattr(stack, "find_stack", find_stack)


def refused(arguments: list[str]) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2, done.output
    return " ".join(done.output.split())


def with_option(arguments: list[str], name: str, value: str | None) -> list[str]:
    at = arguments.index(name)
    return arguments[:at] + ([] if value is None else [name, value]) + arguments[at + 2 :]


@pytest.mark.parametrize(
    "calls",
    [
        "0",
        "-5",
        "nan",
        "inf",
        "-inf",
        "1e309",
        "0.001",
        "100001",
        "many",
        "",
        " ",
        "1_0",
        "\uff11\uff10",
        "1e2",
        "1e400",
    ],
)
def test_a_limit_is_a_number_of_calls(calls: str) -> None:
    """Nought stops all calls, which another verb does."""
    said = refused(["limit", "set", calls, *SET[3:]])
    assert "a limit is 0.01 to 100,000 calls a second" in said
    assert "spillway breaker open" in said


@pytest.mark.parametrize("arguments", [SET, OPEN])
@pytest.mark.parametrize("length", ["0s", "8d", "169h", "999999d", "-2h", "2", "2 h", "1.5h", "inf", "for ever"])
def test_each_ends_within_a_week(arguments: list[str], length: str) -> None:
    """What is to last is declared."""
    said = refused(with_option(arguments, "--for", length))
    assert "at most 7d" in said or "is no length of time" in said


@pytest.mark.parametrize("arguments", [SET, OPEN])
def test_each_says_for_how_long(arguments: list[str]) -> None:
    """There is none without an end."""
    assert "say for how long" in refused(with_option(arguments, "--for", None))


@pytest.mark.parametrize("arguments", [SET, OPEN, ["breaker", "close", "--for", "1h", "--why", "w"]])
@pytest.mark.parametrize("why", [None, "", "   ", "two\nlines", "x" * 201])
def test_what_stays_needs_a_reason(arguments: list[str], why: str | None) -> None:
    """As a pause does: somebody else finds it so."""
    said = refused(with_option(arguments, "--why", why))
    assert "say why, for whoever finds it so later: spillway " in said or "--why must be one line" in said


@pytest.mark.parametrize("whose", [["--account", ""], ["--endpoint", "events/bulk"]])
@pytest.mark.parametrize("verb", [SET, ["limit", "clear"]])
def test_an_account_is_named(verb: list[str], whose: list[str]) -> None:
    """An endpoint is one of an account."""
    assert "--account takes an account's id" in refused([*verb, *whose])


LIMITED = Limits(rate=Rate(50), account_rate=Rate(10), bulk={"a": Bulk(items=5, rate=Rate(2)), "b": Bulk(items=5)})


@pytest.mark.parametrize(
    ("limits", "scope", "expected"),
    [
        (LIMITED, Scope(), 50),
        (LIMITED, Scope("7"), 10),
        (LIMITED, Scope("7", "a"), 2),
        (Limits(), Scope(), None),
        (LIMITED, Scope("7", "b"), "for b: --endpoint a"),
        (Limits(bulk=LIMITED.bulk), Scope("7"), "for all calls of an account: --endpoint a"),
        (Limits(), Scope("7"), "for all calls of an account: leave --account out"),
    ],
)
def test_the_declared_rate_is_that_of_the_calls_that_are_limited(limits: Limits, scope: Scope, expected: Any) -> None:
    """Where an account's calls have none, no worker would look for its limit."""
    if isinstance(expected, str):
        with pytest.raises(InvalidSettings, match=expected):
            declared_by(limits, scope)
    else:
        assert declared_by(limits, scope) == expected


def test_a_limit_above_the_declared_rate_is_refused_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may go faster declares it; where none is declared, any number is one."""
    partner: Any = type("Partner", (), {"limits": LIMITED})()
    monkeypatch.setattr(forecast, "deployed_partner", lambda _: Deployed(partner, "p"))
    monkeypatch.setattr(stack, "find_stack", lambda _: None)
    said = refused(["limit", "set", "60", *SET[3:]])
    assert "the declared rate of everybody is 50 calls a second, and a limit by hand is never above it; 60 is" in said
    some: Any = None
    assert by_hand.checked_rate(some, Scope(), 50.0) == 50
    partner.limits = Limits()
    assert by_hand.checked_rate(some, Scope(), 90_000.0) is None


@pytest.mark.parametrize(
    "note", ["x", None, [1], {}, {"until_ms": 9}, {"until_ms": 9, "since_ms": "x", "who": 5}], ids=str
)
def test_a_limit_is_shown_whatever_is_noted_of_it(note: Any) -> None:
    """Who set it, and when, is told where that can be read."""
    flow = Flow.of(Item(1, {"cap": {"per_second": 5.0, "until_ms": 9}}))
    (found,) = by_hand.turned(PARTNER, flow, {"limit": note}, now_ms=1)
    assert (found.per_second, found.until_ms, found.since_ms) == (5.0, 9, None)


def test_a_partner_that_is_not_known_here_has_no_known_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody guesses what it declares."""
    monkeypatch.setattr(forecast, "deployed_partner", lambda _: Deployed(None, "acme", problem="it cannot be loaded"))
    monkeypatch.setattr(stack, "find_stack", lambda _: None)
    assert "what rate acme declares is not known: it cannot be loaded" in refused(SET)
