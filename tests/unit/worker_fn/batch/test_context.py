"""A Lambda environment, as a test or a tool sets it up."""

import asyncio
from typing import Any

from partners import Delivery, Secret
from testkit.worker import no_mapping
from worker_fn.accounts.fingerprint import NO_SECRETS


def test_where_no_mapping_is_known_there_is_nothing_to_pause() -> None:
    """Before the first tick, and in tools, no mapping is known, so nothing is paused."""
    assert asyncio.run(no_mapping()) is None


def test_times_are_whole_milliseconds_of_the_given_clock(fleet: Any) -> None:
    """Times are whole milliseconds, and only the given clock is asked."""
    fleet.clock.now_s = 1_700_000_000.9876
    assert fleet.worker.now_ms() == 1_700_000_000_987


def test_credentials_are_told_apart_without_a_stack(fleet: Any) -> None:
    """In a tool without a stack, fingerprints of different secrets differ."""
    one, other = (Delivery("https://p.example", b"", "e", secret_headers={"k": Secret(key)}) for key in ("a", "b"))
    assert len({fleet.worker.fingerprint(one), fleet.worker.fingerprint(other), NO_SECRETS}) == 3
