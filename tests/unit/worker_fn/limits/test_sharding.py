import pytest

from worker_fn.limits.sharding import (
    CALM_MS,
    HOT_PER_S,
    LEASE_AHEAD_MS,
    MOST,
    STEP_MS,
    Sharding,
    add,
    books_for,
    step,
)
from worker_fn.limits.windows import SKEW_MS

NOW = 1_790_000_000_000
HOT = int(HOT_PER_S * STEP_MS / 1_000)
SETTLED = Sharding(since_ms=NOW)


def after(sharding: Sharding, *, lost: int = 0, passed_ms: int = STEP_MS, least: int = 1) -> Sharding:
    now_ms = sharding.since_ms + passed_ms
    return step(add(sharding, lost), now_ms=now_ms, least=least, nothing_leased=False)


@pytest.mark.parametrize(("workers", "books"), [(2, 1), (25, 1), (26, 2), (100, 4), (200, 8), (1_000, MOST)])
def test_a_large_fleet_begins_with_several_books(workers: int, books: int) -> None:
    """About one for each 25 workers."""
    assert books_for(workers) == books


def test_what_the_fleet_is_deployed_for_holds_at_once_where_nothing_was_leased() -> None:
    """The first lease of all finds as many books as the deployment asks for."""
    first = step(Sharding(), now_ms=NOW, least=8, nothing_leased=True)
    assert (first.at(NOW), first.at(NOW + 60_000)) == (8, 8)


def test_a_larger_deployment_waits_for_what_was_leased() -> None:
    """With leases out, more books hold from a second on that nobody can have leased from."""
    larger = after(SETTLED, least=8)
    now_ms = NOW + STEP_MS
    assert larger.at(now_ms + LEASE_AHEAD_MS + SKEW_MS) == 1
    assert larger.at(now_ms + LEASE_AHEAD_MS + SKEW_MS + 1_000) == 8
    assert larger.until_ms(NOW + 10**6, now_ms=now_ms) == larger.from_window * 1_000


@pytest.mark.parametrize(("lost", "books"), [(HOT - 1, 1), (HOT, 2), (3 * HOT, 4), (10**6, MOST)])
def test_lost_races_ask_for_more_books(lost: int, books: int) -> None:
    """As many more as there were too many races."""
    assert after(SETTLED, lost=lost).count == books


def test_one_change_at_a_time() -> None:
    """Until a change is in force nothing else is decided, however hot it is."""
    changed = after(SETTLED, lost=HOT)
    assert after(changed, lost=10**6).count == 2
    assert after(changed, lost=10**6, passed_ms=60_000).count > 2


def test_calm_for_long_means_fewer_books() -> None:
    """Half as many after ten minutes, never fewer than the deployment asks for."""
    many = Sharding(count=4, before=4, since_ms=NOW)
    calm = after(many)
    assert calm.count == 4
    assert after(calm, passed_ms=CALM_MS).count == 2
    assert after(calm, passed_ms=CALM_MS, least=4).count == 4
    disturbed = after(calm, lost=HOT // 2)
    assert after(disturbed, passed_ms=CALM_MS).count == 4
