"""Which parked messages move back, by the credentials that they carry."""

from typing import Any

import pytest

from shared.state import Item
from testkit.records import RECEIVED_MS
from tests.unit.worker_fn.intake import FakeParking, look, swept
from tests.unit.worker_fn.keyed import (
    erasure,
    keyed_fleet,
    later,
    request,
    rows,
    suspend_old,
)
from worker_fn.accounts.suspension import GIVE_UP_MS, PROBE_EVERY_MS

PROBE_S = PROBE_EVERY_MS / 1_000


@pytest.fixture
def fleet(make_fleet: Any) -> Any:
    return keyed_fleet(make_fleet)


def test_sweep_tells_parked_messages_apart_by_what_they_carry(fleet: Any) -> None:
    """Those with another key move back, those with the suspended one stay."""
    suspend_old(fleet)
    back = swept(
        fleet, *(request(n, "401", "old") for n in range(3)), request(5, "200", "new"), request(6, "200", None)
    )
    assert back == ["m-5", "m-6"]


def test_sweep_moves_one_for_each_credential_without_a_probe(fleet: Any) -> None:
    """The sweep moves one message back for each credential that lost its probe."""
    fleet.run(*(request(n, "401", "old") for n in range(5)), *(request(10 + n, "401", "older") for n in range(5)))
    later(fleet, 4 * PROBE_S + 1)
    back = swept(fleet, *(request(n, "401", key) for n, key in enumerate(["old", "old", "older", "older", "old"])))
    assert back == ["m-0", "m-2"]


def test_sweep_brings_back_what_is_given_up(fleet: Any) -> None:
    """When the hour is over, messages to be given up move back at once to be dead-lettered; redriven ones stay and wait
    for their turn.
    """
    suspend_old(fleet)
    fleet.run(request(20, "200", "new"))
    parked = [request(n, "401", "old") for n in range(3)]
    assert swept(fleet, *parked) == []
    later(fleet, GIVE_UP_MS / 1_000 + 1)
    fleet.state.items.pop(("partner", "sweep"), None)
    fleet.set_item("partner", "sweep", {"wanted_ms": 0, "looked_ms": int(fleet.clock.now_s * 1_000) - 60_000})
    reason = {"reason": {"dataType": "String", "stringValue": "unauthorized"}}
    redriven = request(9, "401", "old")
    redriven["messageAttributes"] |= reason
    one = rows(fleet)[0]
    [key] = [key for key in fleet.state.items if key[0] == "suspended"]
    fleet.state.items[key] = Item(9, {**one, "probe_at_ms": int(fleet.clock.now_s * 1_000)})  # it has its probe
    assert swept(fleet, *parked, redriven) == ["m-0", "m-1", "m-2"]


def test_sweep_tells_how_old_the_oldest_are_that_stay(fleet: Any) -> None:
    """The ages of the oldest that stay are reported by type; messages that move back are reported by their batch."""
    suspend_old(fleet)
    fleet.run(*(erasure(n, "401") for n in range(20, 24)))
    parked = [request(n, "401", "old", received_at_ms=RECEIVED_MS - 1_000 * n) for n in (1, 2, 0)]
    back = request(9, "200", "new", received_at_ms=RECEIVED_MS - 99_000)
    found = look(fleet, FakeParking([*parked, back, erasure(30, "401")]))
    age_s = (fleet.clock.now_ms() - RECEIVED_MS) / 1_000
    assert (found.unparked, found.oldest_parked_s, found.oldest_parked_erasure_s) == (1, age_s + 2, age_s)
