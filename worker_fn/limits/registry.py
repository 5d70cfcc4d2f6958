"""The limiters of one Lambda environment: the partner's, and those of each account where the partner limits accounts:
one for each bulk endpoint that has a rate of its own, one for all other calls.
"""

import asyncio
import random
from collections.abc import Callable
from typing import TypeVar

from partners import Limits
from shared.state import PARTNER, State, account_key
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.agreement import HEALTHY_MS
from worker_fn.limits.breaker import probe_lease_ms
from worker_fn.limits.limiter import Limiter
from worker_fn.limits.session import Session

MOST_ACCOUNTS = 2_000
"""Limiters of accounts (and of their bulk endpoints) that are kept; the one not used for longest goes first."""

ACCOUNT_TTL_S = 86_400

LINE_EMPTIES_PER_S = 1_000 / 300
"""Of an account whose calls fail about a thousand messages may wait by visibility; their back-offs are minutes."""

ACCOUNT_PATIENCE_MS = 2_000
"""How long a call waits inside an invocation for its account's turn: one customer's flood must not hold the invocations
that the others need."""

T = TypeVar("T")


class Registry:
    """`share` is one over MaximumConcurrency: what is ours of a rate while the state table is out of reach.
    `call_timeout_s` is what a call may take.
    """

    def __init__(
        self,
        state: State,
        limits: Limits,
        *,
        share: float,
        call_timeout_s: float,
        now_ms: Callable[[], int],
        rng: random.Random,
    ) -> None:
        self._state = state
        self._limits = limits
        self._share = share
        self._probe_lease_ms = probe_lease_ms(call_timeout_s)
        self._now_ms = now_ms
        self._rng = rng
        self._accounts: dict[str, Limiter] = {}
        self._lines: dict[str, Limiter] = {}
        self._delivered_ms: dict[str, int] = {}
        self._trouble = 0
        bounds = bounds_of(limits.rate.per_second if limits.rate else None)
        self.partner = self._limiter(PARTNER, bounds, ttl_s=None)

    def sessions(self) -> "Sessions":
        """One batch's use of the limiters."""
        return Sessions(self)

    def of(self, account_id: str | None, endpoint: str | None = None) -> Limiter | None:
        """An account's limiter for calls of a bulk endpoint (None: of any other); None where the partner does not limit
        them.
        """
        if account_id is None:
            return None
        key, rate = account_key(account_id), self._limits.account_rate
        bulk = None if endpoint is None else self._limits.bulk[endpoint]
        if bulk is not None and bulk.rate is not None:
            key, rate = account_key(account_id, endpoint), bulk.rate
        if rate is None:
            return None
        limiter = self._accounts.pop(key, None) or self._limiter(
            key, bounds_of(rate.per_second), ttl_s=ACCOUNT_TTL_S, patience_ms=ACCOUNT_PATIENCE_MS
        )
        return _kept(self._accounts, key, limiter)

    def line(self, account_id: str) -> Limiter:
        """Counts what an account has waiting for another reason than its rate; it empties as messages come back."""
        limiter = self._lines.pop(account_id, None) or self._limiter(
            line_key(account_id), Bounds(highest=LINE_EMPTIES_PER_S), ttl_s=ACCOUNT_TTL_S
        )
        return _kept(self._lines, account_id, limiter)

    def note_delivered(self, account_id: str | None) -> None:
        """Remember that the partner took something of an account."""
        if account_id is not None:
            self._delivered_ms.pop(account_id, None)
            _kept(self._delivered_ms, account_id, self._now_ms())

    def is_served(self, account_id: str | None) -> bool:
        """Whether the partner took something of an account lately, as far as this environment knows."""
        return account_id is None or self._now_ms() - self._delivered_ms.get(account_id, 0) <= HEALTHY_MS

    def trouble(self) -> None:
        """Count a call to the state table that failed."""
        self._trouble += 1

    def take_trouble(self) -> int:
        """How many calls failed since this was asked last."""
        count, self._trouble = self._trouble, 0
        return count

    def _limiter(self, key: str, bounds: Bounds, *, ttl_s: int | None, patience_ms: int | None = None) -> Limiter:
        return Limiter(
            self._state,
            key,
            bounds,
            share=self._share,
            now_ms=self._now_ms,
            rng=self._rng,
            ttl_s=ttl_s,
            patience_ms=patience_ms,
            on_trouble=self.trouble,
            probe_lease_ms=self._probe_lease_ms,
            table=None if key == PARTNER else self.partner,
        )


class Sessions:
    """One batch's sessions, each made when it is needed first."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._accounts: dict[Limiter, Session] = {}
        self.partner = Session(registry.partner)

    def of(self, account_id: str | None, endpoint: str | None = None) -> Session | None:
        """An account's session, as `Registry.of` has its limiter."""
        limiter = self._registry.of(account_id, endpoint)
        if limiter is None:
            return None
        if limiter not in self._accounts:
            self._accounts[limiter] = Session(limiter, table=self.partner)
        return self._accounts[limiter]

    async def report_last(self) -> None:
        """Tell the fleet what it should know at the end of a batch's calls."""
        await asyncio.gather(*(session.report(last=True) for session in (self.partner, *self._accounts.values())))


def line_key(account_id: str) -> str:
    """Where an account's waiting messages are counted in the state table."""
    return f"line#{account_id}"


def bounds_of(per_second: float | None) -> Bounds:
    """The bounds of a limit, by the rate that a partner declares; None: none."""
    return Bounds(highest=per_second, lowest=min(1.0, per_second or 1.0))


def _kept(cache: dict[str, T], key: str, value: T) -> T:
    """Put a value, which is in use now, behind all that are kept; the one not used for longest goes."""
    cache[key] = value
    if len(cache) > MOST_ACCOUNTS:
        del cache[next(iter(cache))]
    return value
