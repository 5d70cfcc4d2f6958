import pytest

from worker_fn.clients.freezes import BEAT_S, STILL_S, Freezes


@pytest.mark.parametrize("runs", [(True, True), (True, False), (False, True)])
def test_a_gap_in_either_clock_is_a_freeze(runs: tuple[bool, bool]) -> None:
    """A gap in either clock is a freeze, because one of them may stop with the process; a slightly late check is
    not.
    """
    now_s = {"clock": 5.0, "wall": 1_000.0}
    freezes = Freezes(lambda: now_s["clock"], lambda: now_s["wall"])
    for gap_s, count in ((BEAT_S, 0), (BEAT_S + STILL_S - 0.01, 0), (BEAT_S + STILL_S + 0.01, 1), (0.1, 1), (3_600, 2)):
        for name, goes_on in zip(now_s, runs, strict=True):
            now_s[name] += gap_s if goes_on else 0.01
        freezes.look()
        assert freezes.count == count


def test_a_clock_that_is_set_back_is_none() -> None:
    """A wall clock that is set back, by a second or an hour, is not a freeze."""
    now_s = 1_000.0
    freezes = Freezes(lambda: 5.0, lambda: now_s)
    now_s = 0.0
    freezes.look()
    assert freezes.count == 0
