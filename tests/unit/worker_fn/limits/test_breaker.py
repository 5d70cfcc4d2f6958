import pytest

from worker_fn.limits.breaker import (
    FIRST_PAUSE_MS,
    LONGEST_PAUSE_MS,
    MEMORY_MS,
    MIN_CALLS,
    Breaker,
    Opened,
    closed_by_hand,
    count,
    lease_probe,
    next_try_ms,
    opened_by_hand,
    probe_is_due,
    probed,
    why_open,
)

NOW = 1_700_000_000_000
LEASE_MS = 30_000
OPEN = Breaker(opened_ms=NOW, probe_at_ms=NOW + FIRST_PAUSE_MS)


@pytest.mark.parametrize(
    ("delivered", "faults", "opens"),
    [(0, MIN_CALLS, True), (5, 5, True), (6, 5, False), (0, MIN_CALLS - 1, False), (100, 30, False)],
)
def test_it_opens_on_half_of_enough_calls(delivered: int, faults: int, opens: bool) -> None:
    """Half of at least ten calls must have failed; fewer calls prove nothing."""
    assert count(Breaker(), delivered=delivered, faults=faults, now_ms=NOW).is_open is opens


def test_old_successes_do_not_keep_it_closed() -> None:
    """Old successes are forgotten, so an outage after a busy hour is noticed."""
    busy = count(Breaker(), delivered=10_000, faults=0, now_ms=NOW)
    for second in range(20):
        busy = count(busy, delivered=0, faults=100, now_ms=NOW + second * MEMORY_MS)
        if busy.is_open:
            break
    assert busy.is_open


def test_probe_is_due_after_the_pause_and_leased_once() -> None:
    """One worker gets the probe; until its lease ends nobody else does."""
    assert not probe_is_due(OPEN, now_ms=NOW)
    due_ms = NOW + FIRST_PAUSE_MS
    assert probe_is_due(OPEN, now_ms=due_ms)
    leased = lease_probe(OPEN, now_ms=due_ms, by="a", lease_ms=LEASE_MS)
    assert not probe_is_due(leased, now_ms=due_ms + LEASE_MS - 1)
    assert next_try_ms(leased, now_ms=due_ms) == due_ms + LEASE_MS


def test_probe_of_a_worker_that_died_is_given_again() -> None:
    """The lease of a probe without a result ends, and another worker may probe."""
    leased = lease_probe(OPEN, now_ms=NOW + FIRST_PAUSE_MS, by="a", lease_ms=LEASE_MS)
    assert probe_is_due(leased, now_ms=NOW + FIRST_PAUSE_MS + LEASE_MS)


def test_delivered_probe_closes() -> None:
    """One successful probe closes the breaker."""
    assert not probed(OPEN, delivered=True, now_ms=NOW).is_open


def test_failed_probes_wait_longer_and_longer() -> None:
    """Each failed probe doubles the pause, up to almost a minute."""
    pauses, breaker, now_ms = [], OPEN, NOW
    for _ in range(6):
        breaker = probed(breaker, delivered=False, now_ms=now_ms)
        pauses.append(breaker.probe_at_ms - now_ms)
        now_ms = breaker.probe_at_ms
    assert pauses[0] == 2 * FIRST_PAUSE_MS
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_MS


def test_open_breaker_is_moved_by_its_probe_alone() -> None:
    """Results of calls that were under way when it opened change nothing."""
    assert count(OPEN, delivered=100, faults=0, now_ms=NOW) == OPEN


def test_why_it_is_open_is_told_apart() -> None:
    """An operator's breaker is open until its time, then while nobody has called, and by its own rules once a probe
    failed.
    """
    by_hand = opened_by_hand(now_ms=NOW, until_ms=NOW + 1_000)
    over = probed(by_hand, delivered=False, now_ms=NOW + 1_000)
    assert why_open(Breaker(), now_ms=NOW) is None
    assert why_open(closed_by_hand(now_ms=NOW, until_ms=NOW + 1_000), now_ms=NOW) is None
    assert why_open(OPEN, now_ms=NOW) is Opened.DOWN
    assert [why_open(by_hand, now_ms=NOW + later_ms) for later_ms in (999, 1_000)] == [Opened.BY_HAND, Opened.OVER]
    assert why_open(over, now_ms=NOW + 1_000) is Opened.DOWN
