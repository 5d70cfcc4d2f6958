"""The suspensions that the fleet remembers, and that a sweep that was asked for is made."""

import asyncio
from typing import Any

import pytest

from shared.errors import StateUnavailable
from shared.state import CLEARED, PARTNER, SUSPENDED, Conflict
from worker_fn.accounts.clearing import SWEEP, clear_account, request_sweep

NOW_MS = 1_700_000_000_000


class Raced:
    """At each item under the key another writer is first this many times."""

    def __init__(self, fleet: Any, pk: str, sk: str, times: int) -> None:
        self._real, self._state, self._key, self.left = fleet.state.swap, fleet.state, (pk, sk), times

    async def swap(self, pk: str, sk: str, item: Any, value: Any, **more: Any) -> Any:
        if (pk, sk) == self._key and self.left:
            self.left -= 1
            current = await self._state.read(pk, sk)
            await self._real(pk, sk, current, {**current.value, "looked_ms": self.left}, expires_at=None)
            raise Conflict(await self._state.read(pk, sk))
        return await self._real(pk, sk, item, value, **more)


@pytest.mark.parametrize("times", [0, 1, 5, 9])
def test_a_sweep_that_is_asked_for_is_written_down_however_others_write(times: int, fleet: Any) -> None:
    """Ticks write the same item: after five of them were first, the request is stored all the same."""
    fleet.state.swap = Raced(fleet, PARTNER, SWEEP, times).swap
    asyncio.run(request_sweep(fleet.state, now_ms=NOW_MS, rng=fleet.worker.rng))
    assert fleet.state.items[PARTNER, SWEEP].value["wanted_ms"] == NOW_MS


@pytest.mark.parametrize("odd", ["x", None, [1], {"a": 1}])
def test_a_sweep_is_asked_for_whatever_stands_there(odd: object, fleet: Any) -> None:
    """A stored time that cannot be read does not count as a later request."""
    fleet.set_item(PARTNER, SWEEP, {"wanted_ms": odd, "looked_ms": odd})
    asyncio.run(request_sweep(fleet.state, now_ms=NOW_MS, rng=fleet.worker.rng))
    assert fleet.state.items[PARTNER, SWEEP].value["wanted_ms"] == NOW_MS


@pytest.mark.parametrize("value", [{"accepted": True}, {"accepted": True, "at_ms": "x"}, {"accepted": 1, "at_ms": [9]}])
def test_a_note_without_a_time_clears_nothing(value: dict[str, object], fleet: Any) -> None:
    """After a note without a time, a refused message suspends its credentials as if nobody had cleared them."""
    fleet.set_item(CLEARED, "7", value)
    assert fleet.run(fleet.record(1, ["401"])).dead_lettered == 0
    assert (SUSPENDED, "7") in fleet.state.items


def test_a_sweep_that_could_not_be_asked_for_says_so(fleet: Any) -> None:
    """If other writers are first without end, the caller gets an error instead of believing that the sweep is
    stored.
    """
    fleet.state.swap = Raced(fleet, PARTNER, SWEEP, 1_000).swap
    with pytest.raises(StateUnavailable):
        asyncio.run(request_sweep(fleet.state, now_ms=NOW_MS, rng=fleet.worker.rng))
    assert not asyncio.run(fleet.worker.suspensions.expect_sweep())


@pytest.mark.parametrize("raced", [(PARTNER, SWEEP), (CLEARED, "7")])
def test_a_suspension_stands_until_its_messages_are_expected_back(raced: tuple[str, str], fleet: Any) -> None:
    """If the sweep cannot be stored, the suspension is kept, so that the next clear can ask again."""
    suspension = {"status": 401, "since_ms": 1, "probe_id": "m-1", "probe_at_ms": 1, "fingerprint": "none"}
    fleet.set_item(SUSPENDED, "7", suspension)
    fleet.state.swap = Raced(fleet, *raced, 1_000).swap
    with pytest.raises(StateUnavailable):
        asyncio.run(clear_account(fleet.state, "7", now_ms=NOW_MS, accepted=False, rng=fleet.worker.rng))
    assert fleet.state.keys(SUSPENDED) == ["7"]


def test_an_older_request_takes_nothing_back(fleet: Any) -> None:
    """If two workers ask at once and the one with the slower clock writes last, the later time is kept."""
    asyncio.run(request_sweep(fleet.state, now_ms=NOW_MS, rng=fleet.worker.rng))
    asyncio.run(request_sweep(fleet.state, now_ms=NOW_MS - 50, rng=fleet.worker.rng))
    assert fleet.state.items[PARTNER, SWEEP].value["wanted_ms"] == NOW_MS
