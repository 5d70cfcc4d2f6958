"""`spillway limit`, `spillway breaker`: an operator sets the shared rate or the breaker, each until a set time.

The setting is in the item that workers read anyway, and ends by their clocks (worker_fn/limits/agreement.py). Who set
it and why is noted beside it, for `spillway status`.
"""

import asyncio
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.console.moments import length_s
from ops.console.terminal import safe
from ops.operate.scope import EVERYBODY, Scope
from ops.operate.stack import Stack, StackUnavailable
from ops.operate.trail import Act
from partners import Limits
from shared.errors import InvalidSettings
from shared.state import BY_HAND, FLOW, PARTNER, change, whole_in
from worker_fn.limits import agreement, breaker
from worker_fn.limits.flow import Flow
from worker_fn.limits.known_item import change_flow
from worker_fn.limits.registry import ACCOUNT_TTL_S, bounds_of

LONGEST_BY_HAND_S = 7 * 86_400
"""A limit that should hold for longer is declared in the partner's code, which is reviewed and deployed."""
LEAST, MOST = 0.01, 100_000.0
"""The least and the most calls a second that a limit may allow."""
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
LIMIT, OPEN, CLOSED = "limit", "open", "closed"


@dataclass(frozen=True, slots=True)
class Turned:
    """A setting of an operator that is in force: a limit, or the breaker open or closed."""

    kind: str
    scope: Scope
    until_ms: int
    per_second: float | None = None
    who: str = ""
    why: str = ""
    since_ms: int | None = None
    """When it was set; None, as are who and why, if that could not be noted."""


def turned(key: str, flow: Flow, note: Mapping[str, Any], *, now_ms: int) -> Iterator[Turned]:
    """The operator's settings that are in force in an item; `note` says who set them and why."""
    found: list[tuple[str, int, float | None]] = []
    if flow.cap.per_second is not None and not flow.cap.is_over(now_ms):
        found.append((LIMIT, flow.cap.until_ms, flow.cap.per_second))
    if breaker.is_by_hand(flow.breaker, now_ms=now_ms):
        found.append((OPEN if flow.breaker.is_open else CLOSED, flow.breaker.by_hand_until_ms, None))
    for kind, until_ms, per_second in found:
        told = note.get(kind)
        if not isinstance(told, Mapping) or told.get("until_ms") != until_ms:
            told = {}
        yield Turned(
            kind,
            Scope.of_key(key),
            until_ms,
            per_second,
            who=str(told.get("who", "")),
            why=str(told.get("why", "")),
            since_ms=whole_in(told, "since_ms") or None,
        )


def per_second_of(text: str) -> float:
    """Read a limit, in calls a second. Raises InvalidSettings."""
    if _DECIMAL.fullmatch(text) and LEAST <= float(text) <= MOST:
        return float(text)
    raise InvalidSettings(
        f"a limit is {LEAST:g} to {MOST:,.0f} calls a second, not {safe(text)!r}: 30, or 2.5;"
        " `spillway breaker open` stops all calls"
    )


def checked_length_s(text: str) -> int:
    """Read how long something is to hold, in seconds. Raises InvalidSettings."""
    if not text.strip():
        raise InvalidSettings("say for how long; then it ends by itself: --for 2h")
    if 0 < (seconds := length_s(text)) <= LONGEST_BY_HAND_S:
        return seconds
    raise InvalidSettings(f"--for must be longer than 0, and at most {LONGEST_BY_HAND_S // 86_400}d: not {text}")


def checked_scope(account_id: str | None, endpoint: str | None) -> Scope:
    """The scope that the options name. Raises InvalidSettings if they name none."""
    if account_id == "" or (endpoint is not None and account_id is None):
        raise InvalidSettings("--account takes an account's id, and --endpoint is one of its bulk endpoints'")
    return Scope(account_id, endpoint)


def declared(stack: Stack, scope: Scope) -> float | None:
    """The rate that the deployed partner declares for these calls; None: none. Raises InvalidSettings if it does not
    limit such calls, StackUnavailable if the partner cannot be loaded.
    """
    from ops.operate.dlq.forecast import deployed_partner  # noqa: PLC0415 - it brings the whole worker

    found = deployed_partner(stack)
    if found.partner is None:
        raise StackUnavailable(f"what rate {found.name} declares is not known: {found.problem}")
    return declared_by(found.partner.limits, scope)


def declared_by(limits: Limits, scope: Scope) -> float | None:
    """The rate that a partner declares. Raises InvalidSettings if it does not limit such calls."""
    if scope.account_id is None:
        return None if limits.rate is None else limits.rate.per_second
    of_endpoints = {name: bulk.rate.per_second for name, bulk in limits.bulk.items() if bulk.rate is not None}
    if scope.endpoint in of_endpoints:
        return of_endpoints[scope.endpoint]
    named = f": --endpoint {' or '.join(of_endpoints)}" if of_endpoints else ""
    if scope.endpoint is not None:
        raise InvalidSettings(f"no rate of an account is declared for {safe(scope.endpoint)}{named}")
    if limits.account_rate is None:
        raise InvalidSettings(
            f"the partner declares no rate for all calls of an account{named or ': leave --account out'}"
        )
    return limits.account_rate.per_second


def checked_rate(stack: Stack, scope: Scope, per_second: float) -> float | None:
    """The declared rate, if a limit is below it. Raises InvalidSettings if it is not, and as `declared` does."""
    most = declared(stack, scope)
    if most is not None and per_second > most:
        raise InvalidSettings(
            f"the declared rate of {scope.name} is {most:g} calls a second, and a limit by hand is never above it;"
            f" {per_second:g} is"
        )
    return most


def set_limit(
    stack: Stack, scope: Scope, per_second: float, *, declared_per_s: float | None, until_ms: int, by: Act
) -> Flow:
    """Keep all workers to at most a number of calls a second, for a time. Raises StackUnavailable, StateUnavailable."""
    bounds = bounds_of(declared_per_s)
    return _turn(
        stack,
        scope,
        lambda flow, now_ms: agreement.set_limit(flow, bounds, per_second, until_ms=until_ms, now_ms=now_ms),
        {LIMIT: _note(by, until_ms)},
    )


def clear_limit(stack: Stack, scope: Scope) -> bool:
    """End an operator's limit; False if none is in force. Raises StackUnavailable, StateUnavailable."""
    before = Flow.of(asyncio.run(stack.state().read(scope.key, FLOW)))
    if before.cap.per_second is None or before.cap.is_over(_now_ms()):
        return False
    _turn(stack, scope, lambda flow, now_ms: agreement.clear_limit(flow, now_ms=now_ms), {LIMIT: None})
    return True


def open_breaker(stack: Stack, *, until_ms: int, by: Act) -> None:
    """Stop all calls until a time. Raises StackUnavailable, StateUnavailable."""
    _turn(
        stack,
        EVERYBODY,
        lambda flow, now_ms: agreement.open_breaker(flow, until_ms=until_ms, now_ms=now_ms),
        {OPEN: _note(by, until_ms), CLOSED: None},
    )


def close_breaker(stack: Stack, *, until_ms: int | None, by: Act) -> bool:
    """Let calls go on now, and keep the breaker closed until a time; None: by its own rules at once, and False if it
    was closed and stays as it is. Raises StackUnavailable, StateUnavailable.
    """
    was_open = Flow.of(asyncio.run(stack.state().read(PARTNER, FLOW))).breaker.is_open
    if until_ms is None and not was_open:
        return False
    _turn(
        stack,
        EVERYBODY,
        lambda flow, now_ms: agreement.close_breaker(flow, until_ms=until_ms or now_ms, now_ms=now_ms),
        {OPEN: None, CLOSED: None if until_ms is None else _note(by, until_ms)},
    )
    return True


Note = Mapping[str, Any] | None


def _turn(stack: Stack, scope: Scope, change_to: Callable[[Flow, int], Flow], notes: Mapping[str, Note]) -> Flow:
    """Change the item that workers read, after the note beside it: a note alone is shown to nobody."""
    state, rng = stack.state(), random.Random()  # noqa: S311 - jitter
    ends_ms = max((note["until_ms"] for note in notes.values() if note), default=_now_ms())
    expires_at = None if scope.account_id is None else ends_ms // 1_000 + ACCOUNT_TTL_S

    def noted(value: Mapping[str, Any]) -> tuple[Mapping[str, Any], None]:
        return {kind: note for kind, note in {**value, **notes}.items() if note}, None

    async def turn() -> Flow:
        await change(state, scope.key, BY_HAND, noted, rng=rng, expires_at=expires_at)
        item, _ = await change_flow(
            state, scope.key, lambda flow: (change_to(flow, _now_ms()), None), rng=rng, expires_at=expires_at
        )
        return Flow.of(item)

    return asyncio.run(turn())


def _note(by: Act, until_ms: int) -> dict[str, Any]:
    return {"who": by.who, "why": by.why, "since_ms": by.at_ms, "until_ms": until_ms}


def _now_ms() -> int:
    return int(time.time() * 1_000)
