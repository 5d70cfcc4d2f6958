"""Changes of the fleet's state, each logged once."""

from dataclasses import replace
from typing import Any

from shared.telemetry import Fact
from worker_fn.limits.adaptive import Bounds, Limit
from worker_fn.limits.agreement import clear_limit, close_breaker, open_breaker, set_limit
from worker_fn.limits.breaker import opened
from worker_fn.limits.fleet_seen import FleetSeen
from worker_fn.limits.flow import Flow


def changes(seen: FleetSeen, flow: Flow, now_ms: int = 1_000) -> list[tuple[Fact, dict[str, Any]]]:
    return list(seen.changes(flow, now_ms=now_ms))


def test_a_breaker_is_told_once_when_it_opens_and_once_when_it_closes() -> None:
    """Opening and closing are logged once each, however many batches see them; a longer pause of an open breaker is
    not.
    """
    seen = FleetSeen()
    is_open = Flow(breaker=opened(now_ms=900, probe_at_ms=6_000))
    assert [(kind, told["is_open"]) for kind, told in changes(seen, is_open)] == [(Fact.BREAKER, True)]
    assert changes(seen, is_open) == []
    assert [(kind, told["is_open"]) for kind, told in changes(seen, Flow())] == [(Fact.BREAKER, False)]


def test_a_cool_down_is_told_once_and_not_when_it_is_over() -> None:
    """A cool-down is logged once, and its end is not; a longer one counts as new."""
    seen = FleetSeen()
    assert changes(seen, Flow(cool_until_ms=5_000)) == [(Fact.COOL_DOWN, {"until_ms": 5_000})]
    assert changes(seen, Flow(cool_until_ms=5_000)) == []
    assert changes(seen, Flow(cool_until_ms=9_000), now_ms=9_500) == []


def test_a_limit_is_told_when_it_moved_far_or_for_another_reason() -> None:
    """Small steps of the limit are not logged one by one; they add up from the last one logged."""
    seen = FleetSeen()
    assert changes(seen, Flow(limit=Limit(100.0, why="pushed back"))) == [
        (Fact.LIMIT, {"from_s": None, "to_s": 100.0, "why": "pushed back"})
    ]
    assert changes(seen, Flow(limit=Limit(90.0, why="pushed back"))) == []
    assert changes(seen, Flow(limit=Limit(79.0, why="pushed back"))) == [
        (Fact.LIMIT, {"from_s": 100.0, "to_s": 79.0, "why": "pushed back"})
    ]
    assert [told["why"] for _, told in changes(seen, Flow(limit=Limit(80.0, why="recovering")))] == ["recovering"]


def test_what_an_operator_set_is_told_as_that_with_its_end() -> None:
    """An operator's limit is logged as such with its end, however often it is confirmed; later limits are logged as
    usual.
    """
    seen, before = FleetSeen(), Flow(limit=Limit(100.0, held=100.0, since_ms=1))
    list(seen.changes(before, now_ms=1_000))
    flow = set_limit(before, Bounds(100.0), 30, until_ms=9_000, now_ms=1_000)
    told = {"from_s": 100.0, "to_s": 30.0, "why": "by hand", "until_ms": 9_000}
    assert changes(seen, flow) == [(Fact.LIMIT, told)]
    assert changes(seen, replace(flow, limit=replace(flow.limit, why="steady"))) == []
    longer = set_limit(flow, Bounds(100.0), 30, until_ms=99_000, now_ms=2_000)
    assert [one["until_ms"] for _, one in changes(seen, longer)] == [99_000]
    over = clear_limit(longer, now_ms=3_000)
    assert changes(seen, over) == [(Fact.LIMIT, {"from_s": 30.0, "to_s": 30.0, "why": "recovering"})]


def test_a_breaker_that_an_operator_turned_is_told_as_that() -> None:
    """An operator's breaker is logged as such, even if it was open already, or is closed only as a try."""
    seen, down = FleetSeen(), Flow(breaker=opened(now_ms=900, probe_at_ms=6_000))
    list(seen.changes(down, now_ms=1_000))
    by_an_operator = open_breaker(down, until_ms=9_000, now_ms=1_000)
    assert changes(seen, by_an_operator) == [(Fact.BREAKER, {"is_open": True, "why": "by hand", "until_ms": 9_000})]
    closed = close_breaker(by_an_operator, until_ms=1_000, now_ms=1_000)
    told = {"is_open": False, "why": "by hand", "until_ms": None}
    assert changes(seen, closed)[0] == (Fact.BREAKER, told)
    assert [one["why"] for _, one in changes(seen, down)] == [None]
