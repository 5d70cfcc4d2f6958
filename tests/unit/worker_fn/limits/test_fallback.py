import random
from types import SimpleNamespace
from typing import Any

import pytest

from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.agreement import Ask, AtRate, Flow, ProbeIsDue, Tally, Wait
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.by_hand import set_limit
from worker_fn.limits.fallback import ALONE_SHARE, LOST_MS, Fallback
from worker_fn.limits.windows import WINDOW_MS, quota

NOW = 1_700_000_000_000
LIMIT = 100.0


def known(*, lost_ms: int = 0, **flow: Any) -> Any:
    """What is known of the fleet."""
    return SimpleNamespace(flow=Flow(**flow), lost_ms=lost_ms, silent_until_ms=0)


def ask(now_ms: int = NOW, wanted: int = 1_000) -> Ask:
    return Ask(now_ms=now_ms, until_ms=now_ms + 3_000, wanted=wanted, most_a_window=1_000)


def alone(share: float = 0.5, highest: float | None = LIMIT) -> Fallback:
    return Fallback(Bounds(highest), share=share, rng=random.Random(7))


def test_nothing_is_called_until_everybody_has_lost_the_table() -> None:
    """A share beside the leases of others would be more than the limit."""
    own = alone()
    assert isinstance(own.ask(ask(NOW + LOST_MS - 1), known(lost_ms=NOW)), Wait)
    assert isinstance(own.ask(ask(NOW + LOST_MS), known(lost_ms=NOW)), AtRate)


def test_no_second_is_given_out_twice() -> None:
    """A worker whose own count is closed amid a second and opened again has one share of it."""
    own, fleet = alone(), known(share_until_ms=NOW + 12_000)
    own.ask(ask(wanted=60), fleet)
    assert own.flow is not None
    first = dict(own.flow.counts)
    own.close()
    own.ask(ask(), fleet)
    assert own.flow is not None
    both = own.flow.counts
    assert len(own.lease) > 0
    assert sum(first.values()) + len(own.lease) <= sum(both.values())
    assert max(both.values()) <= quota(NOW // WINDOW_MS, LIMIT * 0.5 * ALONE_SHARE) + 1


def test_without_a_known_limit_it_is_the_outage_of_nobody() -> None:
    """Where no rate is declared or was found, there is none to share: but an open breaker holds."""
    own = alone(highest=None)
    assert not isinstance(own.ask(ask(), known(lost_ms=NOW)), Wait)
    opened = Breaker(opened_ms=NOW, probe_at_ms=NOW + 9_000)
    assert isinstance(alone(highest=None).ask(ask(), known(lost_ms=NOW, breaker=opened)), Wait)


def test_a_worker_alone_finds_out_by_itself_whether_the_partner_is_back() -> None:
    """One probe at a time, and it closes its own breaker by what that was answered."""
    own = alone()
    fleet = known(lost_ms=NOW - LOST_MS, breaker=Breaker(opened_ms=NOW - 9_000, probe_at_ms=NOW))
    assert own.ask(ask(), fleet) == ProbeIsDue()
    assert isinstance(own.ask(ask(), fleet), Wait)
    own.note(Tally(delivered=1, probe=True), now_ms=NOW)
    assert isinstance(own.ask(ask(), fleet), AtRate)


def test_faults_open_its_own_breaker() -> None:
    """As they would the fleet's."""
    own, fleet = alone(), known(lost_ms=NOW - LOST_MS)
    own.ask(ask(), fleet)
    for _ in range(10):
        own.note(Tally(faults=1), now_ms=NOW)
    assert isinstance(own.ask(ask(), fleet), Wait)


@pytest.mark.parametrize("highest", [LIMIT, None])
def test_an_operators_limit_holds_for_who_is_alone_until_its_time_is_over(highest: float | None) -> None:
    """Its share of that, by its own clock."""
    flow = set_limit(Flow(), Bounds(highest), 20, until_ms=NOW + LOST_MS + 60_000, now_ms=NOW)
    own, lost = alone(highest=highest), SimpleNamespace(flow=flow, lost_ms=NOW, silent_until_ms=0)
    assert own.ask(ask(NOW + LOST_MS), lost) == AtRate(pytest.approx(20 * 0.5 * ALONE_SHARE))
    if highest:
        over = alone(highest=highest).ask(ask(NOW + LOST_MS + 60_000), lost)
        assert over == AtRate(pytest.approx(LIMIT * 0.5 * ALONE_SHARE))
