import json
from dataclasses import replace
from typing import Any

import pytest

from shared.state import Item
from worker_fn.limits import agreement as agreed
from worker_fn.limits.adaptive import Limit
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.flow import FAULTS, GOOD, Flow, Tally
from worker_fn.limits.windows import LEASE_AHEAD_MS, SKEW_MS, WINDOW_MS, name_of

NOW = 1_790_000_000_000
OLD: dict[str, Any] = {
    "limit": {"per_second": 40.0, "held": 45.0, "since_ms": NOW, "why": "holding", "rest_until_ms": NOW + 9},
    "books": {"1790000000": [48, [1, 4]]},
    "breaker": {"opened_ms": NOW, "failed_probes": 2, "probe_at_ms": NOW + 5},
    "sharding": {"count": 4},
    "cool_until_ms": NOW + 5,
    "cool_from_ms": NOW,
    "alive_ms": NOW,
}


def test_an_item_of_the_release_before_is_read() -> None:
    """Limit, breaker and cool-down of the release before are kept; its books of seconds are ignored."""
    flow = Flow.of(Item(9, OLD))
    assert (flow.limit.per_second, flow.breaker.failed_probes, flow.cool_until_ms) == (40.0, 2, NOW + 5)
    assert set(flow.to_item()) == {"limit", "breaker", "cool_until_ms", "cool_from_ms", "alive_ms"}


def test_what_is_written_is_read_back() -> None:
    """A flow is read as it was written, even if most of it has its initial values."""
    for flow in (Flow(), Flow(limit=Limit(per_second=50.0, held=50.0, since_ms=NOW)), Flow.of(Item(9, OLD))):
        assert Flow.of(Item(1, json.loads(json.dumps(flow.to_item())), flow.counts)) == flow


@pytest.mark.parametrize(
    "value",
    [
        {"cool_until_ms": "x", "cool_from_ms": [1]},
        {"generation": None, "alive_ms": "12", "latency_ms": {}, "booked_ms": -1},
        {"limit": None, "breaker": True, "cap": 1.5},
        {"limit": [1], "breaker": "open", "cap": 10**30},
        {"limit": {"per_second": "12"}},
        {"limit": {"per_second": -1}},
        {"limit": {"per_second": 0}},
        {"limit": {"since_ms": None, "delivered": "1", "reached": 1, "why": 7}},
        {"breaker": {"calls": [1], "faults": "x", "counted_ms": None, "said": 5}},
        {"breaker": {"opened_ms": "1", "probe_at_ms": "x", "by_hand_until_ms": None}},
        {"breaker": {"by_hand_until_ms": 10**30}},
        {"cap": {"per_second": {"a": 1}, "until_ms": "x"}},
        {"cap": {"per_second": 0.0}},
    ],
    ids=str,
)
def test_what_is_of_another_kind_is_as_at_the_start(value: dict[str, Any], make_fleet: Any) -> None:
    """Fields of a wrong type, or with impossible numbers, count as initial values, and every message is delivered."""
    assert Flow.of(Item(1, value)) == Flow()
    fleet = make_fleet()
    fleet.set_item("partner", "flow", value)
    assert fleet.run(*(fleet.record(number, ["200"]) for number in range(5))).delivered == 5


def test_the_largest_item_is_one_write() -> None:
    """The largest item is under 1 KB as DynamoDB counts it: names, texts, and half a byte for each digit."""
    now_ms = 1_999_999_999_999
    seconds = range((now_ms - SKEW_MS) // WINDOW_MS, (now_ms + LEASE_AHEAD_MS) // WINDOW_MS + 1)
    counts = {name_of(second): 123_456 for second in seconds} | {"cu": now_ms, "cf": now_ms, "p12345": 99_999}
    counts |= dict.fromkeys(("td", "tf", "tg", "tt", "tm"), 999_999)
    limit = Limit(12_345.6, 12_345.6, 12_345.678, now_ms, 99_999, 9_999, 9_999, now_ms, now_ms, True, "pushed back")
    breaker = Breaker(40.5, 19.5, now_ms, None, 0, 0, 0, "", "")
    opened = Breaker(0.0, 0.0, 0, now_ms, 99, now_ms, now_ms, "ffffffff", "connection on our side")
    rest = {"cool_until_ms": now_ms, "cool_from_ms": now_ms, "cool_ends": 99, "delivered_ms": now_ms}
    rest |= {"latency_ms": 12_345.6, "share_until_ms": now_ms, "alive_ms": now_ms, "generation": 12_345}
    for one in (breaker, opened):
        value = json.dumps(Flow(limit, breaker=one, counts=counts, **rest).to_item(), separators=(",", ":"))
        attributes = {"pk": "account#1234567890", "sk": "flow", "value": value, "by": "0123456789abcdef"}
        size = sum(len(name) + len(text) for name, text in attributes.items())
        size += sum(len(name) + len(str(count)) // 2 + 2 for name, count in (counts | {"rev": 10**7}).items())
        assert size < 1_024, size


def test_an_operator_ends_what_stands_in_either_half() -> None:
    """An operator's end covers the cool-down in the counts, one that an earlier release wrote into the value, and the
    return times behind it.
    """
    flow = Flow.of(Item(4, {"cool_until_ms": NOW + 5, "booked_ms": NOW + 7}, {"cu": NOW + 9, "cf": NOW}))
    assert (flow.cool_until_ms, flow.cool_from_ms) == (NOW + 9, NOW)
    ended = agreed.end_cool_down(flow, now_ms=NOW)
    assert Flow.of(ended.written_to(Item(4))) == replace(ended)
    assert (ended.cool_until_ms, ended.booked_ms, ended.counts, ended.cool_ends) == (0, 0, {}, 1)


def test_counts_are_about_the_limit_that_is_known() -> None:
    """Push-backs are counted under the generation of the limit; zero is not written."""
    assert Tally(delivered=2, took_ms=9).counts(Flow()) == {"td": 2, "tm": 9}
    assert Tally(refused=1).counts(Flow(generation=3)) == {"p3": 1}


def test_what_arrives_after_a_fault_is_counted_apart() -> None:
    """Results after a fault that show that the partner is there, refusals included, are counted apart."""
    failing = Flow(counts={FAULTS: 1})
    assert Tally(delivered=2, refused=1).counts(failing)[GOOD] == 3
    assert GOOD not in Tally(delivered=2, faults=1).counts(Flow())


def test_what_everybody_should_know_at_once() -> None:
    """A cool-down and the result of a probe are urgent."""
    assert [one.is_for_all for one in (Tally(cool_until_ms=1), Tally(probe=False), Tally(faults=1))] == [
        True,
        True,
        False,
    ]
