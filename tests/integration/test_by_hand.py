"""`spillway limit` and `spillway breaker` on DynamoDB (moto): the state that workers find, and who is shown to have set
it.
"""

import asyncio
import time
from typing import Any

import pytest

from ops.operate import by_hand
from ops.operate.by_hand import Turned
from ops.operate.scope import EVERYBODY, Scope
from ops.operate.stack import Stack
from ops.operate.trail import Act
from shared.state import BY_HAND, FLOW, PARTNER
from worker_fn.limits.flow import Flow

ACT = Act(at_ms=1, who="user/alice", what="limit set", why="they asked")
HOUR = 3_600_000


def flow_of(stack: Stack, scope: Scope = EVERYBODY) -> Flow:
    return Flow.of(asyncio.run(stack.state().read(scope.key, FLOW)))


def turned(stack: Stack, now_ms: int, scope: Scope = EVERYBODY) -> list[Turned]:
    note = asyncio.run(stack.state().read(scope.key, BY_HAND)).value
    return list(by_hand.turned(scope.key, flow_of(stack, scope), note, now_ms=now_ms))


def limited(stack: Stack, scope: Scope, per_second: float, until_ms: int, declared: float | None = 100.0) -> Flow:
    return by_hand.set_limit(stack, scope, per_second, declared_per_s=declared, until_ms=until_ms, by=ACT)


@pytest.mark.parametrize("scope", [EVERYBODY, Scope("7"), Scope("7#8%", "users/bulk")])
def test_a_limit_is_set_before_anything_was_called_shown_and_cleared(stack: Stack, scope: Scope) -> None:
    """A limit for all, for an account or for one of its endpoints is set before the first call, shown with who, why and
    until when, and cleared.
    """
    now_ms = int(time.time() * 1_000)
    assert not by_hand.clear_limit(stack, scope)
    assert not asyncio.run(stack.state().listed(scope.key))  # whoever was named
    limited(stack, scope, 30, now_ms + HOUR)
    assert flow_of(stack, scope).limit.per_second == 30.0
    (found,) = turned(stack, now_ms, scope)
    assert found == Turned("limit", scope, now_ms + HOUR, 30.0, "user/alice", "they asked", 1)
    assert turned(stack, now_ms + HOUR, scope) == []
    assert by_hand.clear_limit(stack, scope)
    assert flow_of(stack, scope).limit.held == 100.0
    assert turned(stack, now_ms, scope) == []
    assert not by_hand.clear_limit(stack, scope)


def test_an_accounts_limit_outlives_the_idle_account(stack: Stack) -> None:
    """Items of an account are kept for a day longer than its limit; items of the whole fleet are kept for ever."""
    until_ms = int(time.time() * 1_000) + 48 * HOUR
    for scope in (Scope("7"), EVERYBODY):
        limited(stack, scope, 30, until_ms)
    rows: list[dict[str, Any]] = stack.client("dynamodb").scan(TableName="state")["Items"]
    expiries = {(row["pk"]["S"], row["sk"]["S"]): int(row.get("expires_at", {"N": "0"})["N"]) for row in rows}
    assert expiries[PARTNER, FLOW] == expiries[PARTNER, BY_HAND] == 0
    assert expiries[Scope("7").key, FLOW] == expiries[Scope("7").key, BY_HAND] == until_ms // 1_000 + 86_400


def test_an_open_breaker_is_shown_and_closed(stack: Stack) -> None:
    """Closing the breaker replaces the note that opened it; a limit stays."""
    now_ms = int(time.time() * 1_000)
    limited(stack, EVERYBODY, 30, now_ms + HOUR)
    by_hand.open_breaker(stack, until_ms=now_ms + HOUR, by=ACT)
    assert flow_of(stack).breaker.is_open
    assert [one.kind for one in turned(stack, now_ms)] == ["limit", "open"]
    assert by_hand.close_breaker(stack, until_ms=now_ms + HOUR, by=ACT)
    assert [(one.kind, one.who) for one in turned(stack, now_ms)] == [("limit", "user/alice"), ("closed", "user/alice")]
    by_hand.open_breaker(stack, until_ms=now_ms + HOUR, by=ACT)
    assert by_hand.close_breaker(stack, until_ms=None, by=ACT)
    assert [one.kind for one in turned(stack, int(time.time() * 1_000))] == ["limit"]
    assert flow_of(stack).limit.per_second == pytest.approx(0.3 * 30)
    assert not by_hand.close_breaker(stack, until_ms=None, by=ACT)


def test_a_note_of_something_else_is_not_shown_as_who_set_it(stack: Stack) -> None:
    """A note whose command failed, or that another change has outdated, is not shown."""
    now_ms = int(time.time() * 1_000)
    limited(stack, EVERYBODY, 30, now_ms + HOUR)
    note = asyncio.run(stack.state().read(PARTNER, BY_HAND)).value
    flow = flow_of(stack)
    other = {"limit": {**note["limit"], "until_ms": 5}}
    (found,) = by_hand.turned(PARTNER, flow, other, now_ms=now_ms)
    assert (found.who, found.why, found.since_ms) == ("", "", None)
