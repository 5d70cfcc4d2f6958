"""Clearing a suspension: it is deleted, and the tick is asked to move its parked messages back. A function that raises
StateUnavailable has not done it.
"""

import random

from shared.state import CLEARED, PARTNER, SUSPENDED, State, change, whole_in
from worker_fn.accounts.suspension import Suspension, by_account, sk_of

SWEEP = "sweep"
"""Under the partner's key: when a sweep of the parking queue was last asked for, and when the last one began."""
SUSPENSION_KEPT_S = 14 * 86_400
"""How long a suspension, or the note of its clearing, is kept: as long as a message can be parked."""


async def clear_account(state: State, account_id: str, *, now_ms: int, accepted: bool, rng: random.Random) -> None:
    """Clear all suspensions of an account."""
    for one in by_account(await state.listed(SUSPENDED)).get(account_id, ()):
        await clear(state, one, now_ms=now_ms, accepted=accepted, rng=rng)


async def clear(state: State, suspension: Suspension, *, now_ms: int, accepted: bool, rng: random.Random) -> None:
    """Clear one. `accepted`: the partner took one of its messages, which an operator who clears does not know."""
    # The sweep is asked for before the deletion: one that still finds the suspension is repeated.
    cleared = {"at_ms": now_ms, "accepted": accepted, "account_id": suspension.account_id}
    sk, expires_at = sk_of(suspension.account_id, suspension.fingerprint), now_ms // 1_000 + SUSPENSION_KEPT_S
    await change(state, CLEARED, sk, lambda _: (cleared, None), rng=rng, expires_at=expires_at)
    await request_sweep(state, now_ms=now_ms, rng=rng)
    await state.delete(SUSPENDED, suspension.sk)


async def request_sweep(state: State, *, now_ms: int, rng: random.Random) -> None:
    """Tell the tick that parked messages have to move back."""
    await change(
        state,
        PARTNER,
        SWEEP,
        lambda asked: ({**asked, "wanted_ms": max(now_ms, whole_in(asked, "wanted_ms"))}, None),
        rng=rng,
    )
