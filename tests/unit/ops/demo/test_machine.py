from collections.abc import Iterator

import pytest

from ops.demo.machine import CpuTimes, Neighbours


@pytest.mark.parametrize(
    ("later", "share"),
    [
        (CpuTimes(busy_s=150, ours_s=60, possible_s=400), 0.0),
        (CpuTimes(busy_s=200, ours_s=60, possible_s=400), 0.25),
        (CpuTimes(busy_s=300, ours_s=10, possible_s=400), 1.0),
        (CpuTimes(busy_s=140, ours_s=60, possible_s=400), 0.0),
        (CpuTimes(busy_s=100, ours_s=10, possible_s=200), 0.0),
    ],
)
def test_what_others_took_is_told_from_what_we_took(later: CpuTimes, share: float) -> None:
    """The share is of all processors' time since the beginning, never below 0 and never above 1."""
    readings: Iterator[CpuTimes] = iter([CpuTimes(busy_s=100, ours_s=10, possible_s=200), later])
    assert Neighbours(lambda: next(readings)).share() == share


def test_the_machine_can_be_read() -> None:
    """Right after the beginning, on whatever machine this is, the share is a number from 0 to 1."""
    assert 0.0 <= Neighbours().share() <= 1.0
