"""The counts of a day, as the worker asks CloudWatch for them."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from worker_fn.clients.counts import PAGES_OF_A_DAY, STEP_S, STEPS, Counts, CountsUnavailable

END_S = 1_700_000_100
NOW_MS = (END_S + 1_200) * 1_000 + 12_345


class FakeCloudWatch:
    """Metrics by namespace or queue, name and statistic; each value is in the step for which it is listed."""

    def __init__(self, values: dict[tuple[str, str, str], dict[int, float]], pages: int = 1) -> None:
        self.values, self.pages, self.asked = values, pages, list[dict[str, Any]]()

    def get_metric_data(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        results = []
        for query in asked["MetricDataQueries"]:
            stat, metric = query["MetricStat"]["Stat"], query["MetricStat"]["Metric"]
            dimensions = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
            whose = dimensions.get("QueueName", "/".join(dimensions.values()))
            page = len(self.asked) - 1
            found = {
                step: value
                for step, value in self.values.get((whose, metric["MetricName"], stat), {}).items()
                if step % self.pages == page % self.pages
            }
            moments = [datetime.fromtimestamp(END_S - (STEPS - step) * STEP_S, UTC) for step in found]
            results.append({"Id": query["Id"], "Timestamps": moments, "Values": list(found.values())})
        more = {"NextToken": "more"} if len(self.asked) < self.pages else {}
        return {"MetricDataResults": results, **more}


VISIBLE, HIDDEN = "ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"
VALUES = {
    ("main", "NumberOfMessagesSent", "Sum"): {0: 100.0, 287: 9.0},
    ("main", "NumberOfDeduplicatedSentMessages", "Sum"): {0: 1.0},
    ("park", "NumberOfMessagesSent", "Sum"): {0: 10.0},
    ("park", "NumberOfMessagesDeleted", "Sum"): {0: 4.0},
    ("test/worker", "Delivered", "Sum"): {0: 50.0},
    ("test/worker", "DeadLettered", "Sum"): {0: 2.0},
    ("test/worker", "Parked", "Sum"): {0: 10.0},
    ("main", VISIBLE, "Minimum"): {0: 1.0},
    ("main", VISIBLE, "Maximum"): {0: 30.0, 5: 7.0},
    ("main", HIDDEN, "Maximum"): {0: 5.0},
    ("park", VISIBLE, "Maximum"): {0: 6.0, 9: 6.0},
}


def read(client: Any) -> Any:
    return asyncio.run(Counts(client, queue="main", parking="park", stage="test").of_a_day(NOW_MS))


@pytest.mark.parametrize("pages", [1, 3])
def test_a_day_of_both_queues_and_of_the_workers_ends(pages: int) -> None:
    """Arrivals and ends are summed, depths have their least and most, and all pages are read."""
    client = FakeCloudWatch(VALUES, pages)
    steps = read(client)
    assert len(steps) == STEPS
    assert (steps[0].came, steps[0].ended, steps[0].least, steps[0].most) == (105, 62, 1, 41)
    assert (steps[5].least, steps[5].most) == (0, 7)
    assert steps[9].most is None, "the main queue told nothing"
    assert steps[287].came == 9
    assert len(client.asked) == pages


def test_the_day_ends_when_all_is_counted() -> None:
    """The day ends at the last whole step that is 20 minutes old, when all is counted."""
    client = FakeCloudWatch({})
    read(client)
    [asked] = client.asked
    assert asked["EndTime"].timestamp() == END_S
    assert (asked["EndTime"] - asked["StartTime"]).total_seconds() == 86_400
    assert len(asked["MetricDataQueries"]) == 20


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "CANARY"}}, "GetMetricData"), "AccessDenied"),
        (ConnectTimeoutError(endpoint_url="https://CANARY"), "ConnectTimeoutError"),
    ],
    ids=["refused", "out of reach"],
)
def test_what_cloudwatch_does_not_say_is_named_and_no_more(error: Exception, said: str) -> None:
    """If CloudWatch fails, only the error's name is reported."""

    class Broken:
        def get_metric_data(self, **_: Any) -> None:
            raise error

    with pytest.raises(CountsUnavailable) as raised:
        read(Broken())
    assert str(raised.value) == said


def test_pages_without_end_are_not_read_for_ever() -> None:
    """At most five pages are read; a day has one."""
    client = FakeCloudWatch({}, pages=1_000)
    with pytest.raises(CountsUnavailable):
        read(client)
    assert len(client.asked) == PAGES_OF_A_DAY
