"""What the answers of one batch say of each account's credentials. Pure.

A refusal (401, 403) may be about the account or about one message: requests carry the customer's settings as they were
when mParticle sent them, an old key say, and a key may be good for some calls only. So the account's other calls go on
until some in a row are refused; a call that was begun after a refusal and arrives shows that it was the message's own.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

IN_A_ROW = 3
"""Refusals without a call that arrives, after which no more are made in this batch. Each costs the partner a call."""


@dataclass(slots=True)
class Credentials:
    """Times in ms since the epoch, by the worker's clock."""

    _in_a_row: Counter[str] = field(default_factory=Counter)
    _refused_ms: dict[str, int] = field(default_factory=dict)
    """Account -> its last refusal; idempotency key -> when that delivery was refused."""
    _accepted_ms: dict[str, int] = field(default_factory=dict)
    """Account -> when the last call that arrived was begun."""

    def refused(self, account_id: str, keys: Sequence[str], *, now_ms: int) -> None:
        """Note a refusal. One of a bulk call counts when the culprit is alone: until then it is halved."""
        if len(keys) == 1:
            self._in_a_row[account_id] += 1
        self._refused_ms[account_id] = now_ms
        self._refused_ms.update(dict.fromkeys(keys, now_ms))

    def accepted(self, account_id: str, *, begun_ms: int) -> None:
        """Note a call that arrived."""
        self._accepted_ms[account_id] = max(begun_ms, self._accepted_ms.get(account_id, 0))
        if begun_ms >= self._refused_ms.get(account_id, 0):
            self._in_a_row[account_id] = 0

    def are_refused(self, account_id: str | None) -> bool:
        """Whether no further call of an account should be made."""
        return account_id is not None and self._in_a_row[account_id] >= IN_A_ROW

    def accepted_since(self, account_id: str, key: str) -> bool:
        """Whether a call arrived that was begun after a delivery was refused."""
        return self._accepted_ms.get(account_id, 0) >= self._refused_ms.get(key, 0) > 0
