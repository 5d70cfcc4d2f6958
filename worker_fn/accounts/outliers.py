"""Outliers: accounts whose calls fail while others' arrive. Their failures do not count against the partner.

Failed calls are made again, so in time they are half of all calls, and the breaker would open for everybody.
"""

from collections import OrderedDict

FAILURES_IN_A_ROW = 3
"""After this many failures without a call that arrived, an account's failures are its own if others' calls arrive."""
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
        """Note a call that failed. Returns whether the account alone fails: others' calls arrived since it began to."""
        if account_id is None:
            return False
        began_ms, count = self._failing.pop(account_id, (now_ms, 0))
        self._failing[account_id] = (began_ms, count + 1)
        if len(self._failing) > MOST_ACCOUNTS:
            self._failing.popitem(last=False)
        return count >= FAILURES_IN_A_ROW and self._delivered_ms > began_ms
