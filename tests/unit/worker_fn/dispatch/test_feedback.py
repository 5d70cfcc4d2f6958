"""What the limiters learn from answers: breaker, rate, cool-downs."""

from typing import Any

import pytest

from partners import Bulk, Rate
from testkit.records import record
from tests.unit.worker_fn.acme import ONE, Acme, said, scripted
from worker_fn.accounts.outliers import Outliers
from worker_fn.clients.http import Answer
from worker_fn.dispatch.classify import classify
from worker_fn.dispatch.feedback import Feedback
from worker_fn.limits.flow import Tally


class Told:
    """A limiter that records what it is told."""

    def __init__(self) -> None:
        self.tally = Tally()

    def note(self, tally: Tally) -> None:
        self.tally = tally


@pytest.mark.parametrize(
    ("answer", "delivered", "refused", "faults"),
    [
        (Answer(200), 1, 0, 0),
        (Answer(404), 1, 0, 0),
        (Answer(401), 1, 0, 0),
        (Answer(429), 0, 1, 0),
        (Answer(500), 0, 0, 1),
        (Answer(408), 0, 0, 1),
        (Answer(fault="timeout"), 0, 0, 1),
        (Answer(fault="connection"), 0, 0, 1),
    ],
)
def test_what_counts_as_a_fault_for_the_breaker(answer: Answer, delivered: int, refused: int, faults: int) -> None:
    """Faults are results that show a partner that is down; any refusal shows that it is there."""
    told, outcome = Told(), classify(answer, now_s=0.0)
    feedback = Feedback(told, Outliers(), None, now_ms=lambda: 1_000, log=lambda *_, **__: None)  # type: ignore[arg-type]
    feedback.note(outcome, answer, "7", None, took_ms=5, probe=False)
    assert (told.tally.delivered, told.tally.refused, told.tally.faults) == (delivered, refused, faults)


def test_a_probe_that_found_nothing_out_ends_without_success() -> None:
    """A probe without a useful result ends as not successful, because others wait for its result."""
    told = Told()
    Feedback(told, Outliers(), None, now_ms=lambda: 1, log=lambda *_: None).end_probe(said="x")  # type: ignore[arg-type]
    assert (told.tally.probe, told.tally.said) == (False, "x")


def test_refused_credentials_do_not_open_the_breaker(fleet: Any) -> None:
    """A customer's wrong key does not show a partner that is down."""
    fleet.run(*(record(n, ["401"], account=n) for n in range(40)))
    assert fleet.worker.limiters.partner.flow.breaker.is_open is False


def test_outage_opens_the_breaker_for_the_whole_fleet(fleet: Any) -> None:
    """After enough faults no worker calls: another worker's messages wait without a call."""
    fleet.run(*(record(n, ["503"]) for n in range(30)))
    calls = len(fleet.api.calls)
    assert calls < 30
    report = fleet.run(*(record(n, ["200"]) for n in range(50, 60)), worker=fleet.another())
    assert len(fleet.api.calls) == calls
    assert len(report.failures) == 10
    assert fleet.queue.dead == []


def test_one_probe_closes_the_breaker(fleet: Any) -> None:
    """When the pause is over one call is made; if it succeeds, all others follow."""
    fleet.run(*(record(n, ["503"]) for n in range(30)))
    calls = len(fleet.api.calls)
    fleet.clock.now_s += 60
    report = fleet.run(*(record(n, ["200"]) for n in range(50, 60)))
    assert len(fleet.api.calls) == calls + 10
    assert report.delivered == 10


def test_failed_probe_keeps_the_breaker_open(fleet: Any) -> None:
    """A probe that fails is the only call until the next, longer pause is over."""
    fleet.run(*(record(n, ["503"]) for n in range(30)))
    calls = len(fleet.api.calls)
    fleet.clock.now_s += 60
    fleet.run(*(record(n, ["503"]) for n in range(50, 60)))
    assert len(fleet.api.calls) == calls + 1
    fleet.clock.now_s += 1
    fleet.run(*(record(n, ["503"]) for n in range(50, 60)), worker=fleet.another())
    assert len(fleet.api.calls) == calls + 1


@pytest.fixture
def deliver(make_fleet: Any) -> Any:
    return scripted(make_fleet)


def test_push_back_at_an_endpoint_cools_down_its_account_there(deliver: Any) -> None:
    """A Retry-After of one endpoint leaves the account's other calls alone."""
    partner = Acme({"bulk": Bulk(1, rate=Rate(50))}, in_order=False)
    fleet = deliver(partner, lambda ids: Answer(429, "100") if ids == ["1.0"] else Answer(200))
    report = fleet.run(fleet.record(1, ["bulk"]))
    assert report.failures == ["m-1"]
    later = fleet.run(fleet.record(2, ["bulk"]), fleet.record(3, ["none"]), worker=fleet.another())
    assert fleet.calls == [["1.0"], ["3.0"]]
    assert later.failures == ["m-2"]
    assert min(fleet.queue.hidden.values()) >= 100


def test_throttled_item_waits_and_says_nothing_of_the_rate(deliver: Any) -> None:
    """A 429 that names an item leaves the fleet's limit alone; the item waits ever longer and is never given up."""

    def script(ids: list[str]) -> Answer:
        return said(429, _1_0="retry", rest="again") if "1.0" in ids else Answer(200)

    fleet = deliver(Acme(ONE), script)
    waits = []
    for receives in range(1, 80):
        report = fleet.run(fleet.record(1, ["bulk"], receives=receives), fleet.record(100 + receives, ["bulk"]))
        assert (report.delivered, report.failures) == (1, ["m-1"])
        waits.append(fleet.queue.hidden["h-1"])
        fleet.clock.now_s += 60
    assert fleet.worker.limiters.partner.flow.limit.per_second is None
    assert fleet.queue.dead == []
    assert max(waits[:3]) <= 20
    assert max(waits[10:]) > 300
