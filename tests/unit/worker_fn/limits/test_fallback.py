import random
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from worker_fn.limits.adaptive import DOWN, Bounds
from worker_fn.limits.agreement import set_limit
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.fallback import ALONE_SHARE, LOST_MS, Fallback
from worker_fn.limits.flow import Flow, Tally
from worker_fn.limits.lease import Start
from worker_fn.limits.ruling import PROBE, Wait
from worker_fn.limits.windows import HEADROOM

NOW = 1_700_000_000_000
LIMIT = 100.0


def known(
    *,
    lost_ms: int = 0,
    share_until_ms: int = 0,
    highest: float | None = LIMIT,
    now_ms: int = NOW,
    seed: int = 7,
    **flow: Any,
) -> Any:
    """What the worker knows of the fleet."""
    agreed, bounds = Flow(**flow), Bounds(highest)
    return SimpleNamespace(
        flow=agreed,
        bounds=bounds,
        limit=agreed.rate(bounds),
        lost_ms=lost_ms,
        share_until_ms=share_until_ms,
        silent_until_ms=0,
        now_ms=lambda: now_ms,
        rng=random.Random(seed),
    )


def starts(own: Fallback, fleet: Any, *, from_ms: int = NOW, until_ms: int) -> list[int]:
    """The times at which it may call, if it asks without a pause."""
    found, now_ms = list[int](), from_ms
    while now_ms < until_ms:
        fleet.now_ms = lambda now_ms=now_ms: now_ms
        told = own.ask(until_ms)
        assert isinstance(told, Start | Wait)
        if isinstance(told, Start):
            found.append(told.ms)
            now_ms = max(now_ms, told.ms)
        else:
            now_ms = max(now_ms + 1, told.until_ms)
    return found


def alone(fleet: Any) -> Fallback:
    return Fallback(fleet, share=0.5, probe_lease_ms=9_000)


def test_nothing_is_called_until_everybody_has_lost_the_table() -> None:
    """While others may hold leases no worker calls at its share, because together they would exceed the limit."""
    for now_ms, ruled in ((NOW + LOST_MS - 1, Wait), (NOW + LOST_MS, Start)):
        assert isinstance(alone(known(lost_ms=NOW, now_ms=now_ms)).ask(now_ms + 3_000), ruled)


def test_a_share_is_evenly_spread() -> None:
    """A share is spread evenly whether all of it is used or not, so no second has more of it than another."""
    fleet = known(lost_ms=NOW - LOST_MS)
    own = alone(fleet)
    found = starts(own, fleet, until_ms=NOW + 9_000)
    found += starts(own, fleet, from_ms=NOW + 17_777, until_ms=NOW + 20_000)
    step_ms = 1_000 / (LIMIT * 0.5 * ALONE_SHARE * HEADROOM)
    assert min(later - earlier for earlier, later in pairwise(found)) >= step_ms - 1
    assert len(found) == pytest.approx(11_200 / step_ms, abs=2)


def test_workers_begin_at_different_moments() -> None:
    """Workers begin at different moments, so that the first calls of a hundred small shares do not coincide."""
    first = [alone(known(lost_ms=NOW - LOST_MS, highest=1.0, seed=seed)).ask(NOW + 4_000) for seed in range(100)]
    within_a_second = [one for one in first if isinstance(one, Start) and one.ms < NOW + 1_000]
    assert 30 <= len(within_a_second) <= 60


def test_all_shares_together_are_never_more_than_the_limit() -> None:
    """Four workers that share six calls a second make one each, because two of some would exceed the limit."""
    seconds: Counter[int] = Counter()
    for seed in range(4):
        fleet = known(lost_ms=NOW - LOST_MS, highest=6.0, seed=seed)
        own = Fallback(fleet, share=0.25, probe_lease_ms=9_000)
        seconds.update(one // 1_000 for one in starts(own, fleet, until_ms=NOW + 60_000))
    assert max(seconds.values()) <= 6
    assert sum(seconds.values()) >= 60 * 4 * ALONE_SHARE * HEADROOM - 4


def test_no_share_is_given_out_twice() -> None:
    """A worker whose count is closed and opened again within a second has one share of that second."""
    fleet = known(share_until_ms=NOW + 12_000)
    own = alone(fleet)
    before = starts(own, fleet, until_ms=NOW + 600)
    fleet.share_until_ms += 1_000
    assert not own.is_open
    after = starts(own, fleet, from_ms=NOW + 300, until_ms=NOW + 1_000)
    assert before
    assert after[0] > before[-1]


def test_a_share_smaller_than_a_call_a_minute_is_waited_for() -> None:
    """With a share of less than a call a minute, a message that comes back at its time, up to a second late, may
    call.
    """
    fleet = known(lost_ms=NOW - LOST_MS, highest=0.03)
    own = alone(fleet)
    told = own.ask(NOW + 2_000)
    assert isinstance(told, Wait)
    later_ms = told.until_ms + 999
    fleet.now_ms = lambda: later_ms
    assert isinstance(own.ask(later_ms + 2_000), Start)


def test_without_a_known_limit_it_is_the_outage_of_nobody() -> None:
    """If no rate is known there is none to share, so calls go on; but an open breaker holds."""
    assert not isinstance(alone(known(lost_ms=NOW, highest=None)).ask(NOW + 3_000), Wait)
    opened = Breaker(opened_ms=NOW, probe_at_ms=NOW + 9_000)
    assert isinstance(alone(known(lost_ms=NOW, highest=None, breaker=opened)).ask(NOW + 3_000), Wait)


def test_a_worker_alone_finds_out_by_itself_whether_the_partner_is_back() -> None:
    """A worker without the table makes one probe at a time, and its success closes the worker's own breaker."""
    own = alone(known(lost_ms=NOW - LOST_MS, breaker=Breaker(opened_ms=NOW - 9_000, probe_at_ms=NOW)))
    assert own.ask(NOW + 3_000) == PROBE
    assert isinstance(own.ask(NOW + 3_000), Wait)
    own.note(Tally(delivered=1, probe=True))
    assert isinstance(own.ask(NOW + 3_000), Start)


def test_faults_open_its_own_breaker() -> None:
    """Faults open the worker's own breaker as they would the fleet's."""
    own = alone(known(lost_ms=NOW - LOST_MS))
    own.ask(NOW + 3_000)
    for _ in range(10):
        own.note(Tally(faults=1))
    assert isinstance(own.ask(NOW + 3_000), Wait)


@pytest.mark.parametrize("highest", [LIMIT, None])
def test_an_operators_limit_holds_for_who_is_alone_until_its_time_is_over(highest: float | None) -> None:
    """A worker without the table keeps its share of an operator's limit until the limit ends by the worker's clock."""
    flow = set_limit(Flow(), Bounds(highest), 20, until_ms=NOW + LOST_MS + 60_000, now_ms=NOW)
    lost = known(lost_ms=NOW, highest=highest, now_ms=NOW + LOST_MS, cap=flow.cap, limit=flow.limit)
    found = starts(alone(lost), lost, from_ms=NOW + LOST_MS, until_ms=NOW + LOST_MS + 10_000)
    assert len(found) == pytest.approx(10 * 20 * 0.5 * ALONE_SHARE * HEADROOM, abs=2)
    if highest:
        found = starts(alone(lost), lost, from_ms=NOW + LOST_MS + 60_000, until_ms=NOW + LOST_MS + 70_000)
        assert len(found) == pytest.approx(10 * LIMIT * 0.5 * ALONE_SHARE * HEADROOM, abs=2)


def test_who_is_alone_grows_back_to_its_share() -> None:
    """After a push-back a worker without the table grows back to its share step by step, while it could use more."""
    fleet = known(lost_ms=NOW - LOST_MS)
    own = alone(fleet)
    own.ask(NOW + 3_000)
    fleet.now_ms = lambda: NOW + 2_000
    own.note(Tally(delivered=30, refused=9))
    assert own.flow.limit.per_second == pytest.approx(LIMIT * 0.5 * ALONE_SHARE * DOWN)
    for now_ms in range(NOW + 3_000, NOW + 120_000, 1_000):
        fleet.now_ms = lambda now_ms=now_ms: now_ms
        while isinstance(own.ask(now_ms + 3_000), Start):
            pass
        own.note(Tally(delivered=30))
    assert own.flow.limit.per_second == pytest.approx(LIMIT * 0.5 * ALONE_SHARE)


def test_a_call_to_the_table_that_fails_takes_nothing_of_a_share() -> None:
    """In the time of shares, a failed call to the table does not reduce the worker's share."""
    fleet = known(share_until_ms=NOW + 12_000)
    own = alone(fleet)
    own.ask(NOW + 3_000)
    fleet.lost_ms = NOW + 1
    assert own.is_open
    fleet.now_ms = lambda: NOW + 12_000
    assert not own.is_open
