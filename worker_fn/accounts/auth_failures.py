"""Authentication failures of one batch: what its answers say of each credential that was used. Pure.

A refusal (401, 403) may be about the credential or about one message: a key may be good for some calls only. So calls
with it go on until some in a row are refused; if one begun after a refusal arrives, the refused message is to blame.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

REFUSALS_IN_A_ROW = 3
"""After this many refusals in a row a batch makes no more calls with a credential: each costs the partner a call."""


class Credential(NamedTuple):
    """What a customer proves itself with: the account, and its secrets' fingerprint (fingerprint.py)."""

    account_id: str
    fingerprint: str


@dataclass(slots=True)
class AuthFailures:
    """What one batch knows of refused credentials. Times in ms since the epoch, by the worker's clock."""

    _in_a_row: Counter[Credential] = field(default_factory=Counter)
    _refused_ms: dict[Credential | str, int] = field(default_factory=dict)
    """Credential -> its last refusal; idempotency key -> when that delivery was refused."""
    _taken_ms: dict[Credential, int] = field(default_factory=dict)
    """Credential -> when the last call that arrived was begun."""

    def note_refused(self, credential: Credential, keys: Sequence[str], *, now_ms: int) -> None:
        """Note a refusal. A refused bulk call is halved until the culprit is alone, and counts only then."""
        if len(keys) == 1:
            self._in_a_row[credential] += 1
        self._refused_ms[credential] = now_ms
        self._refused_ms.update(dict.fromkeys(keys, now_ms))

    def note_taken(self, credential: Credential, *, begun_ms: int) -> None:
        """Note a call that arrived."""
        self._taken_ms[credential] = max(begun_ms, self._taken_ms.get(credential, 0))
        if begun_ms >= self._refused_ms.get(credential, 0):
            self._in_a_row[credential] = 0

    def is_refused(self, credential: Credential | None) -> bool:
        """Whether the batch should make no further call with a credential."""
        return credential is not None and self._in_a_row[credential] >= REFUSALS_IN_A_ROW

    def taken_since(self, credential: Credential, key: str) -> bool:
        """Whether a call arrived that was begun after a delivery was refused."""
        return self.begun_ms(credential) >= self._refused_ms.get(key, 0) > 0

    def begun_ms(self, credential: Credential) -> int:
        """When the last call that arrived with a credential was begun; 0 if none arrived."""
        return self._taken_ms.get(credential, 0)
