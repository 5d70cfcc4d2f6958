from dataclasses import replace

import pytest

from shared.state import Item
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.flow import Flow
from worker_fn.limits.ruling import PROBE, UNLIMITED, AtRate, Because, Wait, ruling

NOW = 1_790_000_000_000
DECLARED = Bounds(highest=50.0)


def test_a_declared_rate_holds_where_nothing_is_written() -> None:
    """A new account's item has no limit, but the declared rate holds."""
    assert ruling(Flow(), DECLARED, now_ms=NOW) == AtRate(50.0)
    assert ruling(Flow(counts={Flow().pushed: 1}), DECLARED, now_ms=NOW) == AtRate(50.0)
    assert ruling(Flow(), Bounds(), now_ms=NOW) == UNLIMITED


@pytest.mark.parametrize("bounds", [DECLARED, Bounds()])
def test_cool_down_and_breaker_come_before_the_rate(bounds: Bounds) -> None:
    """Cool-down and breaker apply whether a rate is known or not."""
    cool = Flow.of(Item(0, {}, {"cu": NOW + 9, "cf": NOW}))
    assert ruling(cool, bounds, now_ms=NOW) == Wait(NOW + 9, Because.COOL_DOWN)
    opened = Flow(breaker=Breaker(opened_ms=NOW, probe_at_ms=NOW + 9))
    assert ruling(opened, bounds, now_ms=NOW) == Wait(NOW + 9, Because.BREAKER)
    assert ruling(opened, bounds, now_ms=NOW + 9) == PROBE
    both = replace(opened, cool_until_ms=NOW + 20)
    assert ruling(both, bounds, now_ms=NOW + 9) == Wait(NOW + 20, Because.COOL_DOWN)
