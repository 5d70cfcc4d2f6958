import pytest

from testkit.percentile import percentile


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5.0], 0.5, 5.0),
        ([5.0], 0.99, 5.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([1.0, 2.0], 0.51, 2.0),
        ([float(value) for value in range(100, 0, -1)], 0.99, 99.0),
        ([float(value) for value in range(1, 1001)], 0.999, 999.0),
        ([3.0, 1.0, 2.0], 1.0, 3.0),
        ([3.0, 1.0, 2.0], 0.0, 1.0),
        ([float(value) for value in range(1, 101)], 0.50, 50.0),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(values: list[float], share: float, expected: float) -> None:
    """The nearest rank: the smallest value that the given share of them does not exceed, never one in between."""
    assert percentile(values, share) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    """Who has no values has no percentile, and says so instead of 0."""
    assert percentile([], 0.99) is None
