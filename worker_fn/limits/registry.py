"""The limiters of one Lambda environment: the partner's and, if the partner limits accounts, those of each account: one
for each bulk endpoint that has a rate of its own, one for all other calls.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from partners import Limits
from shared.state import PARTNER, State, account_key
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.agreement import HEALTHY_MS
from worker_fn.limits.breaker import probe_lease_ms
from worker_fn.limits.known_item import KnownItem
from worker_fn.limits.limiter import Limiter
from worker_fn.limits.session import Session

MOST_ACCOUNTS = 2_000
"""The most limiters of accounts (and of their bulk endpoints) that are kept; the least recently used goes first."""
ACCOUNT_TTL_S = 86_400
LINE_EMPTIES_PER_S = 1_000 / 300
"""How fast the line of an account with failing calls empties: about a thousand of its messages wait minutes each."""
ACCOUNT_PATIENCE_MS = 2_000
"""How long a call waits inside an invocation for its account's turn: a flood of one account must not hold up others."""
T = TypeVar("T")


@dataclass(eq=False)
class Registry:
    """`share` is one over MaximumConcurrency: the worker's part of a rate while the state table is out of reach."""

    state: State
    limits: Limits
    share: float
    call_timeout_s: float
    """The longest time that a call may take."""
    now_ms: Callable[[], int]
    rng: random.Random
    partner: Limiter = field(init=False)
    _accounts: dict[str, Limiter] = field(default_factory=dict)
    _lines: dict[str, KnownItem] = field(default_factory=dict)
    _delivered_ms: dict[str, int] = field(default_factory=dict)
    _trouble: int = 0

    def __post_init__(self) -> None:
        self.partner = self._limiter(self._item(PARTNER, self.limits.rate.per_second if self.limits.rate else None))

    def of(self, account_id: str | None, endpoint: str | None = None) -> Limiter | None:
        """An account's limiter for calls to a bulk endpoint (None: for all other calls); None if the partner does not
        limit them.
        """
        if account_id is None:
            return None
        own = endpoint and self.limits.bulk[endpoint].rate
        rate = own or self.limits.account_rate
        if rate is None:
            return None
        key, per_second = account_key(account_id, endpoint if own else None), rate.per_second
        return _kept(self._accounts, key, lambda: self._limiter(self._item(key, per_second), ACCOUNT_PATIENCE_MS))

    def line(self, account_id: str) -> KnownItem:
        """The line of an account's messages that wait for anything but its rate; it empties at LINE_EMPTIES_PER_S."""
        return _kept(self._lines, account_id, lambda: self._item(line_key(account_id), LINE_EMPTIES_PER_S))

    def note_delivered(self, account_id: str | None) -> None:
        """Remember that the partner took a call for an account."""
        if account_id is not None:
            self._delivered_ms.pop(account_id, None)
            _kept(self._delivered_ms, account_id, self.now_ms)

    def is_served(self, account_id: str | None) -> bool:
        """Whether the partner took a call for an account within HEALTHY_MS, as far as this environment knows."""
        return account_id is None or self.now_ms() - self._delivered_ms.get(account_id, 0) <= HEALTHY_MS

    def trouble(self) -> None:
        """Count a call to the state table that failed."""
        self._trouble += 1

    def take_trouble(self) -> int:
        """Return the count of failed calls, and begin a new one."""
        count, self._trouble = self._trouble, 0
        return count

    def _item(self, key: str, per_second: float | None) -> KnownItem:
        item = KnownItem(self.state, key, bounds_of(per_second), self.now_ms, self.rng, on_trouble=self.trouble)
        if key != PARTNER:
            item.ttl_s, item.of_partner = ACCOUNT_TTL_S, self.partner.item
        return item

    def _limiter(self, item: KnownItem, patience_ms: int | None = None) -> Limiter:
        probe_ms = probe_lease_ms(self.call_timeout_s)
        return Limiter(item, share=self.share, probe_lease_ms=probe_ms, patience_ms=patience_ms)


class Sessions:
    """One batch's sessions, each made when it is first needed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._accounts: dict[Limiter, Session] = {}
        self.partner = Session(registry.partner)

    def of(self, account_id: str | None, endpoint: str | None = None) -> Session | None:
        """An account's session, for the limiter that `Registry.of` gives."""
        limiter = self._registry.of(account_id, endpoint)
        if limiter is None:
            return None
        if limiter not in self._accounts:
            self._accounts[limiter] = Session(limiter, table=self.partner)
        return self._accounts[limiter]

    async def report_last(self) -> None:
        """Report the results that the fleet should know at the end of a batch's calls."""
        await asyncio.gather(*(session.report(last=True) for session in (self.partner, *self._accounts.values())))


def line_key(account_id: str) -> str:
    """Where an account's waiting messages are counted in the state table."""
    return f"line#{account_id}"


def bounds_of(per_second: float | None) -> Bounds:
    """The bounds of a limit for the rate that a partner declares; None: none is declared."""
    return Bounds(highest=per_second, lowest=min(1.0, per_second or 1.0))


def _kept(cache: dict[str, T], key: str, make: Callable[[], T]) -> T:
    """The value under a key, made if it is missing, as the most recently used; beyond MOST_ACCOUNTS the oldest goes."""
    cache[key] = value = cache.pop(key) if key in cache else make()
    if len(cache) > MOST_ACCOUNTS:
        del cache[next(iter(cache))]
    return value
