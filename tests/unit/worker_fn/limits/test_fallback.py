import random
from types import SimpleNamespace
from typing import Any

import pytest

from worker_fn.limits.adaptive import DOWN, Bounds
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.by_hand import set_limit
from worker_fn.limits.fallback import ALONE_SHARE, LOST_MS, Fallback
from worker_fn.limits.flow import Flow
from worker_fn.limits.ruling import Ask, AtRate, ProbeIsDue, Wait
from worker_fn.limits.tally import Tally
from worker_fn.limits.windows import WINDOW_MS, quota

NOW = 1_700_000_000_000
LIMIT = 100.0


def known(
    *, lost_ms: int = 0, share_until_ms: int = 0, highest: float | None = LIMIT, now_ms: int = NOW, **flow: Any
) -> Any:
    """What is known of the fleet."""
    agreed, bounds = Flow(**flow), Bounds(highest)
    return SimpleNamespace(
        flow=agreed,
        bounds=bounds,
        limit=agreed.rate(bounds),
        lost_ms=lost_ms,
        share_until_ms=share_until_ms,
        silent_until_ms=0,
        now_ms=lambda: now_ms,
        rng=random.Random(7),
    )


def ask(now_ms: int = NOW, wanted: int = 1_000) -> Ask:
    return Ask(until_ms=now_ms + 3_000, wanted=wanted, most_a_window=1_000)


def alone(fleet: Any) -> Fallback:
    return Fallback(fleet, share=0.5, probe_lease_ms=9_000)


def test_nothing_is_called_until_everybody_has_lost_the_table() -> None:
    """A share beside the leases of others would be more than the limit."""
    for now_ms, ruled in ((NOW + LOST_MS - 1, Wait), (NOW + LOST_MS, AtRate)):
        assert isinstance(alone(known(lost_ms=NOW, now_ms=now_ms)).ask(ask(now_ms)), ruled)


def test_no_second_is_given_out_twice() -> None:
    """A worker whose own count is closed amid a second and opened again has one share of it."""
    fleet = known(share_until_ms=NOW + 12_000)
    own = alone(fleet)
    own.ask(ask(wanted=60))
    leased = len(own._lease)
    fleet.share_until_ms += 1_000
    assert not own.is_open
    own.ask(ask())
    both = own._flow.counts
    assert leased < len(own._lease) <= sum(both.values())
    assert max(both.values()) <= quota(NOW // WINDOW_MS, LIMIT * 0.5 * ALONE_SHARE) + 1


def test_without_a_known_limit_it_is_the_outage_of_nobody() -> None:
    """Where no rate is declared or was found, there is none to share: but an open breaker holds."""
    assert not isinstance(alone(known(lost_ms=NOW, highest=None)).ask(ask()), Wait)
    opened = Breaker(opened_ms=NOW, probe_at_ms=NOW + 9_000)
    assert isinstance(alone(known(lost_ms=NOW, highest=None, breaker=opened)).ask(ask()), Wait)


def test_a_worker_alone_finds_out_by_itself_whether_the_partner_is_back() -> None:
    """One probe at a time, and it closes its own breaker by what that was answered."""
    own = alone(known(lost_ms=NOW - LOST_MS, breaker=Breaker(opened_ms=NOW - 9_000, probe_at_ms=NOW)))
    assert own.ask(ask()) == ProbeIsDue()
    assert isinstance(own.ask(ask()), Wait)
    own.note(Tally(delivered=1, probe=True))
    assert isinstance(own.ask(ask()), AtRate)


def test_faults_open_its_own_breaker() -> None:
    """As they would the fleet's."""
    own = alone(known(lost_ms=NOW - LOST_MS))
    own.ask(ask())
    for _ in range(10):
        own.note(Tally(faults=1))
    assert isinstance(own.ask(ask()), Wait)


@pytest.mark.parametrize("highest", [LIMIT, None])
def test_an_operators_limit_holds_for_who_is_alone_until_its_time_is_over(highest: float | None) -> None:
    """Its share of that, by its own clock."""
    flow = set_limit(Flow(), Bounds(highest), 20, until_ms=NOW + LOST_MS + 60_000, now_ms=NOW)
    lost = known(lost_ms=NOW, highest=highest, now_ms=NOW + LOST_MS, cap=flow.cap, limit=flow.limit)
    assert alone(lost).ask(ask(NOW + LOST_MS)) == AtRate(pytest.approx(20 * 0.5 * ALONE_SHARE))
    if highest:
        lost.now_ms = lambda: NOW + LOST_MS + 60_000
        over = alone(lost).ask(ask(NOW + LOST_MS + 60_000))
        assert over == AtRate(pytest.approx(LIMIT * 0.5 * ALONE_SHARE))


def test_who_is_alone_grows_back_to_its_share() -> None:
    """After a push-back, step by step, while it could use more."""
    fleet = known(lost_ms=NOW - LOST_MS)
    own = alone(fleet)
    own.ask(ask())
    fleet.now_ms = lambda: NOW + 2_000
    own.note(Tally(delivered=30, refused=9))
    assert own._flow.limit.per_second == pytest.approx(LIMIT * 0.5 * ALONE_SHARE * DOWN)
    for now_ms in range(NOW + 3_000, NOW + 120_000, 1_000):
        fleet.now_ms = lambda now_ms=now_ms: now_ms
        while isinstance(own.ask(ask(now_ms)), AtRate):
            assert own.take()
        own.note(Tally(delivered=30))
    assert own._flow.limit.per_second == pytest.approx(LIMIT * 0.5 * ALONE_SHARE)


def test_a_call_to_the_table_that_fails_takes_nothing_of_a_share() -> None:
    """While all keep to theirs: what is ours stays ours, whatever becomes of the next look."""
    fleet = known(share_until_ms=NOW + 12_000)
    own = alone(fleet)
    own.ask(ask())
    fleet.lost_ms = NOW + 1
    assert own.is_open
    assert own.take()
    fleet.now_ms = lambda: NOW + 12_000
    assert not own.is_open
