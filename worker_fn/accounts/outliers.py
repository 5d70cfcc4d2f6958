"""Outliers: accounts whose calls fail while others' arrive. Their failures are their own, and not the partner's.

Calls that fail are made again and make up half of all sooner or later: the breaker would open for everybody.
"""

from collections import OrderedDict

FAILURES_IN_A_ROW = 3
"""After so many failures, and no call that arrived, an account's failures are its own if others' calls arrive."""
MOST_ACCOUNTS = 2_000


class Outliers:
    """Times in ms since the epoch, by the worker's clock."""

    def __init__(self) -> None:
        self._failing: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """Account -> when it began to fail, and how often it has since."""
        self._delivered_ms = 0

    def delivered(self, account_id: str | None, *, now_ms: int) -> None:
        """Note a call that arrived."""
        self._delivered_ms = now_ms
        if account_id is not None:
            self._failing.pop(account_id, None)

    def failed(self, account_id: str | None, *, now_ms: int) -> bool:
        """Note a call that failed. Says whether that is the account's own trouble: others arrived since it began."""
        if account_id is None:
            return False
        began_ms, count = self._failing.pop(account_id, (now_ms, 0))
        self._failing[account_id] = (began_ms, count + 1)
        if len(self._failing) > MOST_ACCOUNTS:
            self._failing.popitem(last=False)
        return count >= FAILURES_IN_A_ROW and self._delivered_ms > began_ms
