import pytest

from worker_fn.limits.lease import LATE_MS, Lease, Start
from worker_fn.limits.windows import WINDOW_MS, moment_ms, quota

NOW = 1_700_000_000_000
WINDOW = NOW // WINDOW_MS
LIMIT = 20.0
COUNT = quota(WINDOW, LIMIT)


def taken(lease: Lease, *, limit: float = LIMIT, not_before_ms: int = 0) -> list[Start]:
    """All starts, each at its moment."""
    starts, now_ms = list[Start](), NOW
    while start := lease.take(now_ms=now_ms, not_before_ms=not_before_ms, limit=limit):
        starts.append(start)
        now_ms = max(now_ms, start.ms)
    return starts


@pytest.fixture
def lease() -> Lease:
    made = Lease()
    made.keep([(WINDOW, number) for number in range(COUNT)], limit=LIMIT, now_ms=NOW)
    return made


def test_numbers_are_used_in_the_order_of_their_moments(lease: Lease) -> None:
    """Each number is used once, at its moment."""
    starts = taken(lease)
    assert starts == sorted(Start(moment_ms(WINDOW, number, LIMIT), number) for number in range(COUNT))
    assert not len(lease)


def test_what_is_late_is_dropped(lease: Lease) -> None:
    """A call that would start long after its moment is dropped, because it would come too close to its neighbours; a
    slightly late one starts.
    """
    first, second, *_ = sorted(moment_ms(WINDOW, number, LIMIT) for number in range(COUNT))
    late_ms = first + LATE_MS + 1
    start = lease.take(now_ms=late_ms, not_before_ms=0, limit=LIMIT)
    assert start is not None
    assert start.ms == max(second, late_ms)


def test_of_several_that_are_late_one_is_used() -> None:
    """Now; the next call has to wait for its moment: together they would be a burst."""
    lease = Lease()
    lease.keep([(WINDOW, number) for number in range(quota(WINDOW, 200.0))], limit=200.0, now_ms=NOW)
    now_ms = sorted(lease._starts)[100].ms + 1
    late = lease.take(now_ms=now_ms, not_before_ms=0, limit=200.0)
    following = lease.take(now_ms=now_ms, not_before_ms=0, limit=200.0)
    assert late is not None
    assert following is not None
    assert late.ms == now_ms < following.ms


def test_a_call_never_starts_in_the_next_second() -> None:
    """However little it is late: that second has calls of its own."""
    lease = Lease()
    lease.keep([(WINDOW, number) for number in range(quota(WINDOW, 200.0))], limit=200.0, now_ms=NOW)
    assert max(start.ms for start in lease._starts) + LATE_MS > NOW + WINDOW_MS
    assert lease.take(now_ms=NOW + WINDOW_MS, not_before_ms=0, limit=200.0) is None


def test_a_number_is_used_once(lease: Lease) -> None:
    """Also where the limit moves after its call."""
    start = lease.take(now_ms=NOW, not_before_ms=0, limit=LIMIT)
    assert start is not None
    assert start.number not in {one.number for one in taken(lease, limit=2 * LIMIT)}


def test_what_a_cool_down_took_is_lost(lease: Lease) -> None:
    """Moments within a cool-down are not made up for at its end."""
    assert min(start.ms for start in taken(lease, not_before_ms=NOW + 500)) >= NOW + 500
    assert not len(lease)


def test_a_lower_limit_leaves_the_lower_numbers(lease: Lease) -> None:
    """Under a lower limit, numbers above its quota are not used, whoever holds them."""
    assert {start.number for start in taken(lease, limit=LIMIT / 2)} == set(range(quota(WINDOW, LIMIT / 2)))


def test_numbers_beyond_the_limit_are_calls_when_it_has_risen() -> None:
    """Numbers above the quota are kept, and may be used if the limit rises."""
    lease = Lease()
    lease.keep([(WINDOW, number) for number in range(COUNT)], limit=LIMIT / 4, now_ms=NOW)
    assert len(lease) == quota(WINDOW, LIMIT / 4)
    lease.keep((), limit=LIMIT, now_ms=NOW)
    assert len(taken(lease)) == COUNT


@pytest.mark.parametrize("limit", [LIMIT, 2 * LIMIT])
def test_a_call_that_is_put_back_starts_once_more(lease: Lease, limit: float) -> None:
    """Now, in place of the one that did not; also where the limit moves meanwhile."""
    lease.put_back(NOW)
    starts = taken(lease, limit=limit)
    assert starts[0] == Start(NOW)
    assert len(starts) == 1 + COUNT


def test_what_has_passed_is_not_kept(lease: Lease) -> None:
    """However long nobody takes anything."""
    lease.keep((), limit=LIMIT, now_ms=NOW + WINDOW_MS)
    assert not lease._numbers
