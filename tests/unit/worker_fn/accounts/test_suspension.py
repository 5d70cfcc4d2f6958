"""A suspension, as the state table holds it."""

from shared.state import Item
from worker_fn.accounts.suspension import by_account


def test_listing_is_by_account_whatever_the_release_that_wrote_it() -> None:
    """An item without a fingerprint is its whole account's."""
    value = {"status": 401, "since_ms": 1, "probe_id": "x", "probe_at_ms": 2}
    found = by_account({"7": Item(1, value), "8#ab": Item(1, {**value, "account_id": "8", "fingerprint": "ab"})})
    assert {name: [one.fingerprint for one in ones] for name, ones in found.items()} == {"7": ["*"], "8": ["ab"]}
