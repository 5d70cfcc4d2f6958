import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops.operate.dlq.pace import Pacer, learnt_limit, left_over, live_per_s
from partners import Limits, Rate
from shared.state import FLOW, PARTNER, Item
from testkit.state import MemoryState
from tests.fakes.clock import Clock

FIFTY = Limits(rate=Rate(50))


def rate(limits: Limits = FIFTY, **given: Any) -> float:
    known = {"learnt": None, "live_per_s": 0.0, "calls_per_letter": 1.0, "accounts": 0, **given}
    return left_over(limits, **known).per_s


@pytest.mark.parametrize(
    ("given", "per_s"),
    [
        ({}, 45.0),
        ({"live_per_s": 20.0}, 25.0),
        ({"live_per_s": 50.0}, 0.0),
        ({"live_per_s": None}, 25.0),
        ({"learnt": 10.0}, 9.0),
        ({"learnt": 80.0}, 45.0),
        ({"calls_per_letter": 5.0, "live_per_s": 5.0}, 4.0),
        ({"limits": Limits()}, 18.0),
        ({"limits": Limits(), "learnt": 100.0}, 90.0),
        ({"limits": Limits(rate=Rate(50), account_rate=Rate(10)), "accounts": 2}, 10.0),
        ({"limits": Limits(rate=Rate(50), account_rate=Rate(10)), "accounts": 100}, 45.0),
    ],
)
def test_letters_get_what_live_traffic_leaves(given: dict[str, Any], per_s: float) -> None:
    """A tenth of what the partner takes stays free; where nobody knows what live traffic needs, half of it."""
    assert rate(**given) == pytest.approx(per_s)


def test_it_is_said_how_the_rate_was_found() -> None:
    why = left_over(FIFTY, learnt=None, live_per_s=7.2, calls_per_letter=3, accounts=0).why
    assert why == (
        "the partner takes 50 calls/s (declared), live traffic uses 21.6, a tenth stays free; 3 calls a letter"
    )


def test_the_learnt_limit_is_read_from_what_the_fleet_knows() -> None:
    """Whatever stands there."""
    state = MemoryState()

    def learnt(value: Any) -> float | None:
        async def found() -> float | None:
            known = await state.read(PARTNER, FLOW)
            await state.swap(PARTNER, FLOW, Item(known.rev), value, expires_at=None)
            return await learnt_limit(state)

        return asyncio.run(found())

    assert learnt({"limit": {"per_second": 12.5}}) == 12.5
    assert [learnt(one) for one in ({}, {"limit": {}}, {"limit": 5}, {"limit": {"per_second": None}})] == [None] * 4
    assert [learnt({"limit": {"per_second": one}}) for one in ("5", True, -1, 0, float("nan"))] == [None] * 5


class CloudWatch:
    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, dict[str, Any]()

    def get_metric_data(self, **asked: Any) -> Any:
        self.asked = asked
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_live_traffic_is_what_came_into_the_queue_in_five_whole_minutes() -> None:
    cloudwatch = CloudWatch({"MetricDataResults": [{"Values": [600.0, 300.0]}]})
    assert live_per_s(cloudwatch, "https://sqs/1/messages.fifo", now_s=1_790_000_030) == 3.0
    (query,) = cloudwatch.asked["MetricDataQueries"]
    assert query["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "QueueName", "Value": "messages.fifo"}]
    assert (cloudwatch.asked["EndTime"] - cloudwatch.asked["StartTime"]).seconds == 300


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"MetricDataResults": []},
        {"MetricDataResults": [{"Values": []}]},
        ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "GetMetricData"),
    ],
)
def test_what_cloudwatch_does_not_say_is_not_known(answer: Any) -> None:
    assert live_per_s(CloudWatch(answer), "q", now_s=1.0) is None


@pytest.mark.parametrize("per_s", [0.5, 7, 300])
@pytest.mark.parametrize("call_s", [0.0, 0.004])
def test_a_pace_is_held_by_the_clock(per_s: float, call_s: float) -> None:
    """What sending takes is not lost."""
    clock = Clock()
    began_s, sent, pacer = clock(), 0, Pacer(per_s, clock=clock, sleep=clock.sleep)
    while sent < 500:
        if pacer.wait():
            clock.sleep(call_s)
            pacer.sent(2)
            sent += 2
    assert sent / (clock() - began_s) == pytest.approx(per_s, rel=0.02)


def test_an_interruption_is_made_up_for_by_a_second_at_most() -> None:
    clock = Clock()
    pacer = Pacer(10, clock=clock, sleep=clock.sleep)
    pacer.sent(1)
    clock.sleep(600)
    began_s, sent = clock(), 0
    while clock() < began_s + 10:
        if pacer.wait():
            pacer.sent(1)
            sent += 1
    assert 95 <= sent <= 112


def test_a_wait_is_cut_short_so_that_somebody_may_stop_it() -> None:
    clock = Clock()
    pacer = Pacer(0.01, clock=clock, sleep=clock.sleep)
    pacer.sent(1)
    assert not pacer.wait()
    assert clock() == Clock()() + 1
