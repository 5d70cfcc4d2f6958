from dataclasses import replace
from typing import Any

import pytest

from ops.demo import figures
from ops.demo.figures import (
    NEWS_S,
    Expected,
    Letter,
    Remains,
    Sample,
    Side,
    calls_during_cooldown,
    summarise,
    timeline,
)
from ops.local.mparticle import Ended
from ops.local.partner_api import Call, PartnerLedger
from tests.unit.ops.demo.sides import BEGAN_S, invocation, ledger


def test_a_summary_counts_each_outcome() -> None:
    """Requests are told apart by outcome, and events by what became of their request."""
    side = Side(
        BEGAN_S,
        [
            invocation(["a", "b"]),
            invocation(["c", "d"], Ended.THROTTLED),
            invocation(["e", "f"], Ended.FAILED),
        ],
        ledger(("a", 1), ("b", 1)),
    )
    counted = summarise(side)
    assert (counted.invocations, counted.accepted, counted.throttled, counted.failed) == (3, 1, 1, 1)
    assert (counted.events_sent, counted.events_accepted, counted.delivered) == (6, 2, 2)


def test_lost_is_what_was_accepted_and_never_arrived() -> None:
    """Events are compared by id: another event's arrival does not make up for a missing one."""
    side = Side(BEGAN_S, [invocation(["a", "b", "c"])], ledger(("a", 1), ("a", 2), ("x", 2)))
    assert summarise(side).lost == 2


def test_an_event_of_a_throttled_request_is_not_lost() -> None:
    """mParticle still has what was not accepted."""
    side = Side(BEGAN_S, [invocation(["a"], Ended.THROTTLED)], ledger())
    assert summarise(side).lost == 0


def test_a_duplicate_is_each_arrival_beyond_the_first() -> None:
    """Three arrivals of one event are one delivery and two duplicates."""
    side = Side(BEGAN_S, [invocation(["a", "b"])], ledger(("a", 1), ("a", 2), ("a", 3), ("b", 3)))
    assert (summarise(side).delivered, summarise(side).duplicates) == (2, 2)


def test_answer_times_are_of_accepted_requests_only() -> None:
    """A throttled request is answered in no time and would flatter a design that throttles."""
    side = Side(
        BEGAN_S,
        [invocation(["a"], answer_ms=800.0), *[invocation(["b"], Ended.THROTTLED, answer_ms=1.0)] * 9],
        ledger(),
    )
    assert (summarise(side).answer_ms_p50, summarise(side).answer_ms_p99) == (800.0, 800.0)


def test_draining_lasts_from_the_last_answer_to_the_last_delivery() -> None:
    """The queue's part of the time, not the spike's."""
    side = Side(BEGAN_S, [invocation(["a"], at_s=4.0, answer_ms=500.0)], ledger(("a", 12.5)))
    assert summarise(side).drain_s == 8.0


def test_a_design_that_delivers_before_it_answers_has_nothing_to_drain() -> None:
    """Deliveries before the last answer make a drain of 0, not a negative one."""
    side = Side(BEGAN_S, [invocation(["a"], at_s=4.0, answer_ms=500.0)], ledger(("a", 4.4)))
    assert summarise(side).drain_s == 0.0


def test_a_run_of_nothing_is_all_noughts() -> None:
    """A demo that was stopped at once can still be summarised."""
    counted = summarise(Side(BEGAN_S, [], PartnerLedger()))
    assert (counted.invocations, counted.lost, counted.drain_s, counted.answer_ms_p99) == (0, 0, 0.0, None)


def test_the_timeline_has_every_second_once() -> None:
    """Each invocation and each delivery is in the second in which it began or arrived; empty seconds are there, too."""
    side = Side(
        BEGAN_S,
        [
            invocation(["a"], at_s=0.0),
            invocation(["b"], Ended.THROTTLED, at_s=0.9),
            invocation(["c"], at_s=2.0),
        ],
        ledger(("a", 2.5), ("c", 4.0)),
    )
    seconds = timeline(side)
    assert [second["t_s"] for second in seconds] == [0, 1, 2, 3, 4]
    assert [second["accepted"] for second in seconds] == [1, 0, 1, 0, 0]
    assert [second["throttled"] for second in seconds] == [1, 0, 0, 0, 0]
    assert [second["delivered"] for second in seconds] == [0, 0, 1, 0, 1]


def test_the_timeline_knows_the_queue_as_it_was_last_seen() -> None:
    """A second without a sample repeats the one before; two samples in a second: the later one counts."""
    samples = [
        Sample(BEGAN_S + 0.1, 5, 1, 0.0),
        Sample(BEGAN_S + 0.6, 9, 2, 0.5),
        Sample(BEGAN_S + 2.1, 0, 0, 0.0),
    ]
    seconds = timeline(Side(BEGAN_S, [], PartnerLedger(), samples))
    assert [second["queue_visible"] for second in seconds] == [9, 9, 0]
    assert [second["queue_in_flight"] for second in seconds] == [2, 2, 0]


def test_a_dead_letter_is_false_if_the_partner_would_have_taken_it() -> None:
    """What the partner refuses belongs there; what arrived is only named in its message; the rest is false."""
    side = Side(
        BEGAN_S,
        [invocation(["refused", "arrived", "taken"])],
        ledger(("arrived", 1)),
        remains=Remains([Letter("rejected", "HTTP 400", ("refused", "arrived", "taken"))]),
        expected=Expected(refused=frozenset({"refused"})),
    )
    counted = summarise(side)
    assert (counted.dead_lettered, counted.false_dead_letters, counted.lost) == ({"rejected": 1}, 1, 0)


def test_what_is_parked_or_waits_is_not_lost() -> None:
    """An event may be at the partner, dead-lettered, parked, or in a message on the queue; else it is lost."""
    invocations = [invocation([f"{number}.0", f"{number}.1"]) for number in range(4)]
    remains = Remains(parked=frozenset({"0.0", "0.1"}), waiting=1)
    counted = summarise(Side(BEGAN_S, invocations, ledger(("1.0", 1), ("1.1", 1)), remains=remains))
    assert (counted.lost, counted.parked, counted.waiting) == (2, 2, 1)


def test_a_probe_that_stays_is_no_message_left_over() -> None:
    """A suspended account's probe waits on the main queue when everything else is done."""
    side = Side(BEGAN_S, [invocation(["a"])], ledger(), remains=Remains(waiting=1), expected=Expected(stay=1))
    assert (summarise(side).waiting, summarise(side).lost) == (0, 0)


def calls(*given: tuple[float, int, int | None, str | None]) -> list[Call]:
    return [Call(at_s, status, asked_s, at_s + 0.1, account) for at_s, status, asked_s, account in given]


@pytest.mark.parametrize(
    ("at_s", "account", "counted"),
    [(10.0, None, 0), (10.1 + NEWS_S, None, 0), (12.0, None, 1), (15.0, None, 1), (15.2, None, 0), (12.0, "7", 0)],
)
def test_a_call_in_a_cool_down_is_one_that_could_have_known(at_s: float, account: str | None, counted: int) -> None:
    """From when the news of a 429 has travelled until its Retry-After ends, for the same customer."""
    found = calls_during_cooldown(calls((10.0, 429, 5, None), (at_s, 200, None, account)))
    assert len(found) == counted


def with_backlog(delivered_each_s: int, **expected: Any) -> Side:
    """Sixty events accepted at once, then so many delivered a second."""
    ids = [f"{number}" for number in range(60)]
    arrivals = [(event_id, 1 + number / delivered_each_s) for number, event_id in enumerate(ids)]
    return Side(BEGAN_S, [invocation(ids)], ledger(*arrivals), expected=Expected(**expected))


@pytest.mark.parametrize(("each_s", "used"), [(10, 1.0), (5, 0.5)])
def test_the_allowance_counts_while_there_is_a_backlog(each_s: int, used: float) -> None:
    """Deliveries over what was allowed, in the seconds that begin with at least a second's worth waiting."""
    assert figures.allowance_used(with_backlog(each_s, rate_per_s=10.0)) == used


def test_the_allowance_of_a_partner_that_is_down_is_none() -> None:
    """Seconds of an outage do not count, whatever came in them."""
    assert figures.allowance_used(with_backlog(10, rate_per_s=10.0, outages=((0.0, 100.0),))) is None


def test_without_a_limit_or_a_backlog_there_is_no_share() -> None:
    """A partner that takes everything allows no number, and where nothing waits nothing is left unused."""
    assert figures.allowance_used(with_backlog(10)) is None
    assert figures.allowance_used(with_backlog(10, rate_per_s=61.0)) is None


def test_each_customer_has_times_of_its_own() -> None:
    """From the answer to mParticle until the partner had the event, nearest rank; nobody's without an account."""
    first = invocation(["a", "b"], at_s=0.0, answer_ms=500.0)
    second = invocation(["c"], at_s=1.0, answer_ms=0.0)
    side = Side(
        BEGAN_S,
        [
            replace(first, parcel=replace(first.parcel, account_id=1)),
            replace(second, parcel=replace(second.parcel, account_id=2)),
            invocation(["d"]),
        ],
        ledger(("a", 0.4), ("b", 3.5)),
        expected=Expected(names={2: "late"}),
    )
    one, two = summarise(side).customers
    assert (one.account_id, one.delivered, one.p50_s, one.p99_s) == (1, 2, 0.0, 3.0)
    assert (two.name, two.accepted, two.delivered, two.p99_s) == ("late", 1, 0, None)
