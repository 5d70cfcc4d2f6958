"""`spillway pause`, `spillway resume`: an operator stops and restarts the intake.

The pause is in the state table, which each tick reads, and in a tag on the mapping, for a tick that cannot read the
table. Accepted messages stay in the queue meanwhile, up to 14 days.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ops.console.addresses import without_addresses
from ops.console.moments import ago, ahead, as_utc
from ops.operate import trail, worker_tick
from ops.operate.stack import Stack, refusal_as
from shared.state import FLOW, PARTNER, whole_in
from worker_fn.clients.mapping import HOLD, MARK, hold
from worker_fn.limits.breaker import Opened, why_open
from worker_fn.limits.flow import Flow

NOT_CHANGED = "Lambda did not change the mapping ({}): the same command may be given again"


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator's pause of the intake."""

    why: str
    since_ms: int
    who: str = ""
    """The operator, as AWS knows them; empty if that is not known."""

    @classmethod
    def from_value(cls, value: Mapping[str, Any]) -> Self | None:
        """Read an item, also of the previous release; None if there is none. Any item is a pause, as for the worker."""
        if not value:
            return None
        return cls(without_addresses(str(value.get("why", ""))), whole_in(value, "since_ms"), str(value.get("who", "")))

    @property
    def by(self) -> str:
        return self.who or "an operator"

    def said(self, now_ms: int) -> str:
        return f"paused since {as_utc(self.since_ms)} UTC ({ago(self.since_ms, now_ms)}): {self.why}"


def standing(stack: Stack, now_ms: int) -> str:
    """Say whether the intake is paused, by whom and since when. Raises StackUnavailable, StateUnavailable."""
    found = current(stack)
    state = _mapping_state(stack)
    is_on = state in {"Enabled", "Enabling"}
    if found is not None:
        runs = "; the mapping is enabled, the worker sends nothing all the same" if is_on else ""
        return f"{found.said(now_ms)} ({found.by}){runs}"
    if is_on:
        return "not paused"
    why, what = held_by(Flow.of(asyncio.run(stack.state().read(PARTNER, FLOW))), now_ms)
    return f"not paused by an operator. The mapping is {state}: {why}. {what}"


def held_by(flow: Flow | None, now_ms: int) -> tuple[str, str]:
    """Why the intake is paused when no operator says so, and what to do about it."""
    opened = None if flow is None else why_open(flow.breaker, now_ms=now_ms)
    if flow is not None and opened is Opened.BY_HAND:
        until_ms = flow.breaker.by_hand_until_ms
        until = f"an operator opened the breaker, until {as_utc(until_ms)} UTC"
        return until, f"It ends {ahead(until_ms, now_ms)}, with a probe; `spillway breaker close` ends it now"
    if opened is Opened.OVER:
        over = "the breaker that an operator opened is over its time"
        return over, "Nothing to do: the next tick tries the partner with a message, or resumes where none is there"
    if flow is not None and flow.breaker.opened_ms is not None:
        opened_ms = flow.breaker.opened_ms
        down = f"the partner is taken for down since {as_utc(opened_ms)} UTC ({ago(opened_ms, now_ms)})"
        return down, "Nothing to do: the tick tries it once a minute, and resumes"
    if flow is not None and flow.cool_until_ms > now_ms:
        asked = f"the partner asked for a pause that ends {ahead(flow.cool_until_ms, now_ms)}"
        return asked, "Nothing to do: the tick resumes it then"
    return "nothing asks for it any more", "Nothing to do: the worker's tick resumes it within a minute"


def current(stack: Stack) -> Pause | None:
    """Return the present pause, if there is one. Raises StackUnavailable, StateUnavailable."""
    return Pause.from_value(asyncio.run(stack.state().read(PARTNER, HOLD)).value)


def checked_why(why: str) -> str:
    """The reason that a pause must have. Raises InvalidSettings."""
    return trail.required_why(why, 'spillway pause --why "the partner moves its data"')


def pause(stack: Stack, why: str, *, who: str = "") -> bool:
    """Pause the intake until `resume`; False if the next tick has to pause the mapping, within a minute.

    Raises InvalidSettings, StackUnavailable, StateUnavailable.
    """
    why, now_ms = checked_why(why), int(time.time() * 1_000)
    asyncio.run(hold(stack.state(), why=why, who=who, now_ms=now_ms, rng=random.Random()))  # noqa: S311 - jitter
    client, mapping_id = stack.client("lambda"), stack.output("WorkerMappingId")
    with refusal_as(NOT_CHANGED):
        client.tag_resource(Resource=_arn(client, mapping_id), Tags={MARK: str(now_ms)})
        try:
            client.update_event_source_mapping(UUID=mapping_id, Enabled=False)
        except client.exceptions.ResourceInUseException:  # a change is under way
            return False
    return True


def resume(stack: Stack) -> dict[str, Any]:
    """End the pause and let the worker resume, if nothing else holds the intake; returns its tick's report.

    Raises StackUnavailable, StateUnavailable.
    """
    asyncio.run(stack.state().delete(PARTNER, HOLD))
    client = stack.client("lambda")
    with refusal_as(NOT_CHANGED):
        client.untag_resource(Resource=_arn(client, stack.output("WorkerMappingId")), TagKeys=[MARK])
    return worker_tick.run(stack)


def _arn(client: Any, mapping_id: str) -> str:
    return str(client.get_event_source_mapping(UUID=mapping_id)["EventSourceMappingArn"])


def _mapping_state(stack: Stack) -> str:
    client, mapping_id = stack.client("lambda"), stack.output("WorkerMappingId")
    with refusal_as("Lambda did not show the mapping ({}): the same command may be given again"):
        return str(client.get_event_source_mapping(UUID=mapping_id)["State"])
