"""The one place where a worker is made outside a Lambda function; worker_fn/wiring.py makes the deployed one."""

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from partners import Delivery, Partner
from shared.state import Patient, State
from worker_fn.accounts.fingerprint import fingerprint
from worker_fn.accounts.suspensions import Suspensions
from worker_fn.batch.context import Queue, Worker
from worker_fn.batch.time_budget import SETTLE_RESERVE_S
from worker_fn.clients.http import Send
from worker_fn.clients.mapping import EventSourceMapping, Held
from worker_fn.limits.registry import Registry


async def no_mapping() -> EventSourceMapping | None:
    """No mapping is known: nothing to pause."""
    return None


of_no_stack = partial(fingerprint, key=b"of no stack")


def make_worker(
    partner: Partner,
    send: Send,
    queue: Queue,
    state: State,
    *,
    now_ms: Callable[[], int],
    max_in_flight: int,
    attempts: int,
    share: float = 1.0,
    in_groups: bool = False,
    call_timeout_s: float = 13.0,
    settle_reserve_s: float = SETTLE_RESERVE_S,
    mapping: Callable[[], Awaitable[EventSourceMapping | None]] = no_mapping,
    fingerprint: Callable[[Delivery], str] = of_no_stack,
    rng: random.Random | None = None,
    **more: Any,
) -> Worker:
    """Make one Lambda environment. `share` is its part of the partner's rate while the state table is out of reach,
    `more` are fields of Worker.
    """
    rng = rng or random.Random(1)  # noqa: S311 - jitter, not a secret
    state = state if isinstance(state, Patient) else Patient(state, now_ms=now_ms)
    limiters = Registry(state, partner.limits, share=share, call_timeout_s=call_timeout_s, now_ms=now_ms, rng=rng)
    return Worker(
        partner=partner,
        send=send,
        queue=queue,
        state=state,
        limiters=limiters,
        suspensions=Suspensions(state, now_ms=now_ms, on_trouble=limiters.trouble, rng=rng, in_groups=in_groups),
        held=Held(state, now_ms=now_ms, on_trouble=limiters.trouble),
        max_in_flight=max_in_flight,
        attempts=attempts,
        settle_reserve_s=settle_reserve_s,
        call_timeout_s=call_timeout_s,
        mapping=mapping,
        fingerprint=fingerprint,
        in_groups=in_groups,
        now_ms=now_ms,
        rng=rng,
        **more,
    )
