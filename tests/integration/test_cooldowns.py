"""`spillway cooldown` on DynamoDB (moto): which cool-downs it lists, and which it ends."""

import asyncio
import random
import time
from typing import Any

import pytest
from rich.console import Console

from ops.operate import cooldowns
from ops.operate.stack import Stack
from shared.state import FLOW, PARTNER, DynamoState, account_key, change
from worker_fn.limits.agreement import open_breaker
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.flow import Flow


def put(stack: Stack, key: str, flow: Flow) -> None:
    state = DynamoState(stack.client("dynamodb"), "state")
    asyncio.run(change(state, key, FLOW, lambda _: (flow.to_item(), None), rng=random.Random(1)))


def flow_at(stack: Stack, key: str) -> Flow:
    state = DynamoState(stack.client("dynamodb"), "state")
    return Flow.of(asyncio.run(state.read(key, FLOW)))


@pytest.fixture
def now_ms(stack: Stack) -> int:
    """The state: the fleet waits and is probed, one account and one endpoint of another wait, and the cool-down of a
    third account is over.
    """
    now_ms = int(time.time() * 1_000)
    breaker = Breaker(opened_ms=now_ms - 5_000, probe_at_ms=now_ms + 50_000)
    put(stack, PARTNER, Flow(cool_until_ms=now_ms + 55_000, cool_from_ms=now_ms - 5_000, breaker=breaker))
    put(stack, account_key("7"), Flow(cool_until_ms=now_ms + 900_000, cool_from_ms=now_ms, booked_ms=now_ms + 999_000))
    put(stack, account_key("8", "users/bulk"), Flow(cool_until_ms=now_ms + 900_000, cool_from_ms=now_ms))
    put(stack, account_key("9"), Flow(cool_until_ms=now_ms - 1, cool_from_ms=now_ms - 9_000))
    return now_ms


def names(found: list[cooldowns.CoolDown]) -> list[str]:
    return [one.scope.name for one in found]


def test_who_is_left_alone_is_listed(stack: Stack, now_ms: int) -> None:
    """The list has the fleet first, then accounts and endpoints by name, and none whose cool-down is over."""
    found = cooldowns.listing(stack, now_ms=now_ms)
    assert names(found) == ["everybody", "account 7", "account 8 at users/bulk"]
    assert [one.is_probed for one in found] == [True, False, False]
    console = Console(width=100, record=True)
    cooldowns.show(found, console, now_ms=now_ms)
    assert "a probe in 55 s" in console.export_text()


@pytest.mark.parametrize(
    ("accounts", "everything", "ended"),
    [
        ([], False, ["everybody"]),
        (["7"], False, ["account 7"]),
        (["8"], False, ["account 8 at users/bulk"]),
        ([], True, ["everybody", "account 7", "account 8 at users/bulk"]),
    ],
)
def test_what_is_named_is_ended_and_nothing_else(
    stack: Stack, now_ms: int, accounts: list[str], everything: bool, ended: list[str]
) -> None:
    """After the named cool-down ends calls resume at once, or a probe is due if the breaker is open; other cool-downs
    stay.
    """
    assert names(cooldowns.end(stack, accounts, everything=everything)) == ended
    left = names(cooldowns.listing(stack, now_ms=now_ms))
    assert set(left) == {"everybody", "account 7", "account 8 at users/bulk"} - set(ended) | (
        {"everybody"} & set(ended)  # its breaker is open: a probe decides
    )
    partner = flow_at(stack, PARTNER)
    assert (partner.cool_until_ms == 0, partner.cool_ends) == (("everybody" in ended), int("everybody" in ended))
    assert (partner.breaker.probe_at_ms <= int(time.time() * 1_000)) == ("everybody" in ended)
    assert (flow_at(stack, account_key("7")).booked_ms == 0) == ("account 7" in ended)


def test_a_slip_of_the_pen_ends_nothing(stack: Stack, now_ms: int) -> None:
    """If one of the named accounts has no cool-down, the command says so and ends none."""
    with pytest.raises(cooldowns.NoCoolDown, match="not left alone: 9;"):
        cooldowns.end(stack, ["7", "9"])
    assert len(cooldowns.listing(stack, now_ms=now_ms)) == 3


def test_nothing_raw_reaches_the_terminal(stack: Stack, now_ms: int) -> None:
    """An account's id is foreign input: none of its control characters is printed, and no markup in it takes effect."""
    put(stack, account_key("\x1b[31m[bold]"), Flow(cool_until_ms=now_ms + 900_000))
    console = Console(width=100, record=True)
    cooldowns.show(cooldowns.listing(stack, now_ms=now_ms), console, now_ms=now_ms)
    shown: Any = console.export_text()
    assert "\x1b" not in shown
    assert "[bold]" in shown


def test_a_breaker_that_an_operator_opened_is_no_cool_down(stack: Stack) -> None:
    """A breaker that an operator opened is not listed or ended here; once its time is over it counts as any other."""
    now_ms = int(time.time() * 1_000)
    put(stack, PARTNER, open_breaker(Flow(), until_ms=now_ms + 60_000, now_ms=now_ms))
    assert cooldowns.listing(stack, now_ms=now_ms) == []
    assert cooldowns.end(stack, []) == []
    assert names(cooldowns.listing(stack, now_ms=now_ms + 60_000)) == ["everybody"]
