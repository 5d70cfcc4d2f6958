"""`spillway cooldown`: how long the partner asked everybody or an account to wait, and the operator's end of it."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.console.moments import ago, ahead
from ops.console.terminal import safe
from ops.operate.scope import Scope
from ops.operate.stack import Stack
from shared.errors import SpillwayError
from shared.state import FLOW, PARTNER, DynamoState, account_key
from worker_fn.limits import agreement as flows
from worker_fn.limits.breaker import Opened, why_open
from worker_fn.limits.flow import Flow
from worker_fn.limits.known_item import change_flow

ACCOUNTS = account_key("")


class NoCoolDown(SpillwayError):
    """An account that was named has no cool-down; nothing was ended."""


@dataclass(frozen=True, slots=True)
class CoolDown:
    """A cool-down of an account, or of its calls to one bulk endpoint with a limit of its own; None: of everybody."""

    account_id: str | None
    endpoint: str | None
    since_ms: int
    until_ms: int
    """When calls go on by themselves; with `is_probed`, when the next probe is tried."""
    is_probed: bool = False
    """The breaker is open: one probe at a time finds out when it is over."""

    @property
    def scope(self) -> Scope:
        return Scope(self.account_id, self.endpoint)


def listing(stack: Stack, *, now_ms: int) -> list[CoolDown]:
    """Return the present cool-downs, everybody's first. Raises StackUnavailable, StateUnavailable."""
    return asyncio.run(_found(stack.state(), now_ms))


def end(stack: Stack, accounts: Sequence[str], *, everything: bool = False) -> list[CoolDown]:
    """End everybody's cool-down, or those of these accounts; `everything`: all cool-downs.

    Returns what was ended. Raises NoCoolDown, before it ends any, if an account that was named has none.
    """
    state, now_ms = stack.state(), int(time.time() * 1_000)

    async def ended() -> list[CoolDown]:
        found = await _found(state, now_ms)
        unknown = [one for one in accounts if one not in {cool.account_id for cool in found}]
        if unknown:
            names = ", ".join(map(safe, unknown))
            raise NoCoolDown(f"not left alone: {names}; nothing was ended, `spillway cooldown list` shows who is")
        chosen = [
            one for one in found if everything or (one.account_id in accounts if accounts else one.account_id is None)
        ]
        for one in chosen:
            await change_flow(state, one.scope.key, _ended, rng=random.Random())  # noqa: S311 - jitter
        return chosen

    return asyncio.run(ended())


def as_json(found: Sequence[CoolDown]) -> str:
    """Return the document that `--json` prints, indented."""
    return json.dumps([asdict(one) for one in found], indent=2)


def show(found: Sequence[CoolDown], console: Console, *, now_ms: int) -> None:
    """Print the cool-downs."""
    if not found:
        console.print("Nobody is left alone: no cool-down lasts, and the breaker is closed.")
        return
    table = Table("who", "asked", "then", box=None, header_style="bold")
    for one in found:
        then = "a probe" if one.is_probed else "calls go on"
        table.add_row(Text(one.scope.name), ago(one.since_ms, now_ms), f"{then} {ahead(one.until_ms, now_ms)}")
    console.print(table)


def _ended(flow: Flow) -> tuple[Flow, None]:
    return flows.end_cool_down(flow, now_ms=int(time.time() * 1_000)), None


async def _found(state: DynamoState, now_ms: int) -> list[CoolDown]:
    rows = {(PARTNER, FLOW): await state.read(PARTNER, FLOW), **await state.under(ACCOUNTS)}
    found = []
    for (key, kind), item in rows.items():
        if kind != FLOW:
            continue
        flow = Flow.of(item)
        is_probed = why_open(flow.breaker, now_ms=now_ms) not in {None, Opened.BY_HAND}  # that one is no answer's
        if flow.cool_until_ms <= now_ms and not is_probed:
            continue
        scope = Scope.of_key(key)
        until_ms = max(flow.cool_until_ms, flow.breaker.probe_at_ms if is_probed else 0)
        since_ms = (flow.breaker.opened_ms if is_probed else None) or flow.cool_from_ms
        found.append(CoolDown(scope.account_id, scope.endpoint, since_ms, until_ms, is_probed))
    return sorted(found, key=lambda one: (one.account_id is not None, one.account_id or "", one.endpoint or ""))
