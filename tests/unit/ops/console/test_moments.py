import pytest

from ops.console.moments import ago, ahead, as_utc

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("passed_s", "said"),
    [(0, "0 s ago"), (119, "119 s ago"), (120, "2 min ago"), (7_300, "2 h ago"), (300_000, "3 d ago")],
)
def test_how_long_ago_a_moment_is(passed_s: int, said: str) -> None:
    """In the largest unit of which there are two."""
    assert ago(NOW_MS - 1_000 * passed_s, NOW_MS) == said


def test_a_moment_that_is_to_come_or_has_passed() -> None:
    """What has passed is due."""
    assert ahead(NOW_MS + 90_000, NOW_MS) == "in 90 s"
    assert ahead(NOW_MS - 1, NOW_MS) == "due"


def test_a_moment_in_utc() -> None:
    """To the minute."""
    assert as_utc(NOW_MS) == "2023-11-14 22:13"
