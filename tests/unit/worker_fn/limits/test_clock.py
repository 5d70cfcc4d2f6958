import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker_fn.limits.clock import FleetClock

TRUE_MS = 1_700_000_000_000


def observed(skew_ms: int, answers: list[tuple[int, int]]) -> tuple[FleetClock, list[int]]:
    """A clock that is off by `skew_ms`, after answers at these true times, each half of its latency each way."""
    true = [TRUE_MS]
    clock = FleetClock(lambda: true[0] + skew_ms)
    for at_ms, took_ms in answers:
        true[0] = TRUE_MS + at_ms
        asked_ms = clock.local_ms()
        date_ms = (true[0] + took_ms // 2) // 1_000 * 1_000
        true[0] += took_ms
        clock.observe(asked_ms=asked_ms, heard_ms=clock.local_ms(), date_ms=date_ms)
    return clock, true


@given(answers=st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 200)), max_size=20))
def test_right_clock_is_never_corrected(answers: list[tuple[int, int]]) -> None:
    """A right clock is never changed, whenever it asks and however long answers take."""
    clock, true = observed(0, answers)
    assert clock.now_ms() == true[0]


@pytest.mark.parametrize("skew_ms", [-60_000, -3_000, 3_000, 60_000])
def test_wrong_clock_is_corrected_within_a_second_at_once(skew_ms: int) -> None:
    """After one answer the error is less than a second."""
    clock, true = observed(skew_ms, [(250, 10)])
    assert abs(clock.now_ms() - true[0]) < 1_000


@pytest.mark.parametrize("skew_ms", [-3_000, 3_000])
def test_answers_narrow_the_error(skew_ms: int) -> None:
    """After a dozen answers at different moments the error is less than a tenth of a second."""
    clock, true = observed(skew_ms, [(n * 1_087, 8) for n in range(12)])
    assert abs(clock.now_ms() - true[0]) < 100


def test_clock_that_was_set_is_learnt_anew() -> None:
    """After a jump of the clock its bounds are found anew."""
    local = [TRUE_MS]
    clock = FleetClock(lambda: local[0])
    clock.observe(asked_ms=TRUE_MS, heard_ms=TRUE_MS + 5, date_ms=TRUE_MS)
    local[0] += 100_000
    clock.observe(asked_ms=local[0], heard_ms=local[0] + 5, date_ms=TRUE_MS)
    assert abs(clock.now_ms() - TRUE_MS) <= 1_005
