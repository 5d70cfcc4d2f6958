"""What CloudWatch counted of the queues and of the worker's ends in the last day, for the ledger's alarm."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.telemetry import NAMESPACE, Metric

STEP_S, STEPS = 300, 288
"""A day, in steps of five minutes."""
SETTLED_S = 1_200
"""How old a step must be: CloudWatch's counts of a queue that wakes up come a quarter of an hour late."""
PAGES_OF_A_DAY = 5

ENDS = (Metric.DELIVERED, Metric.DEAD_LETTERED, Metric.PARKED)
"""The worker's metrics of messages that left the main queue."""
DEPTHS = (
    "ApproximateNumberOfMessagesVisible",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
SENT, DOUBLED, DELETED = "NumberOfMessagesSent", "NumberOfDeduplicatedSentMessages", "NumberOfMessagesDeleted"
LEAST, MOST = "Minimum", "Maximum"


@dataclass(frozen=True, slots=True)
class Step:
    """Five minutes of the main and the parking queue together, in messages."""

    came: float
    """Messages sent to one of the two, without those moved out of the parking queue and a FIFO queue's duplicates."""
    ended: float
    """Messages that left the main queue, as the workers counted them."""
    least: float | None
    """The least and the most that lay there. None: SQS reported nothing of the main queue."""
    most: float | None


class CountsUnavailable(Exception):
    """CloudWatch gave no counts; the text is the name of the error."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Reads CloudWatch with a boto3 `client`, whose calls run in threads."""

    client: Any
    queue: str
    parking: str
    """The queues' names."""
    stage: str

    async def of_a_day(self, now_ms: int) -> list[Step]:
        """The day's steps, the oldest first. Raises CountsUnavailable."""
        end_s = (now_ms // 1_000 - SETTLED_S) // STEP_S * STEP_S
        begin_s = end_s - STEP_S * STEPS
        asked = {f"m{number}": (statistic, metric) for number, (statistic, metric) in enumerate(self._asked())}
        found = await asyncio.to_thread(self._read, asked, begin_s, end_s)
        values = {asked[name]: by_step for name, by_step in found.items()}
        return [self._step(values, step) for step in range(STEPS)]

    def _asked(self) -> Iterator[tuple[str, tuple[str, str]]]:
        yield from (("Sum", (NAMESPACE, name)) for name in ENDS)
        yield from (("Sum", (queue, name)) for queue in (self.queue, self.parking) for name in (SENT, DOUBLED))
        yield "Sum", (self.parking, DELETED)
        for queue in (self.queue, self.parking):
            yield from ((statistic, (queue, name)) for name in DEPTHS for statistic in (LEAST, MOST))

    def _step(self, values: Mapping[tuple[str, tuple[str, str]], Mapping[int, float]], step: int) -> Step:
        def of(statistic: str, whose: str, name: str) -> float:
            return values.get((statistic, (whose, name)), {}).get(step, 0.0)

        queues = (self.queue, self.parking)
        came = sum(of("Sum", queue, SENT) - of("Sum", queue, DOUBLED) for queue in queues)
        least, most = (sum(of(one, queue, name) for queue in queues for name in DEPTHS) for one in (LEAST, MOST))
        is_known = step in values.get((MOST, (self.queue, DEPTHS[0])), {})
        return Step(
            came=came - of("Sum", self.parking, DELETED),
            ended=sum(of("Sum", NAMESPACE, name) for name in ENDS),
            least=least if is_known else None,
            most=most if is_known else None,
        )

    def _read(
        self, asked: Mapping[str, tuple[str, tuple[str, str]]], begin_s: int, end_s: int
    ) -> dict[str, dict[int, float]]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the simulation runs without boto3

        queries = [self._query(name, *one) for name, one in asked.items()]
        found: dict[str, dict[int, float]] = {}
        more: dict[str, Any] = {}
        for _ in range(PAGES_OF_A_DAY):
            try:
                answer = self.client.get_metric_data(
                    MetricDataQueries=queries,
                    StartTime=datetime.fromtimestamp(begin_s, UTC),
                    EndTime=datetime.fromtimestamp(end_s, UTC),
                    **more,
                )
            except ClientError as error:
                raise CountsUnavailable(error.response["Error"]["Code"]) from None
            except BotoCoreError as error:
                raise CountsUnavailable(type(error).__name__) from None
            for one in answer["MetricDataResults"]:
                found.setdefault(one["Id"], {}).update(_by_step(one, begin_s))
            if not answer.get("NextToken"):
                return found
            more = {"NextToken": answer["NextToken"]}
        raise CountsUnavailable("MorePages")

    def _query(self, name: str, statistic: str, metric: tuple[str, str]) -> dict[str, Any]:
        whose, metric_name = metric
        of_ours = {"stage": self.stage, "service": "worker"}
        dimensions = of_ours if whose == NAMESPACE else {"QueueName": whose}
        told = {
            "Namespace": NAMESPACE if whose == NAMESPACE else "AWS/SQS",
            "MetricName": str(metric_name),
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        }
        return {"Id": name, "MetricStat": {"Metric": told, "Period": STEP_S, "Stat": statistic}}


def _by_step(result: Mapping[str, Any], begin_s: int) -> Iterator[tuple[int, float]]:
    moments: Sequence[datetime] = result["Timestamps"]
    for moment, value in zip(moments, result["Values"], strict=True):
        yield (int(moment.timestamp()) - begin_s) // STEP_S, float(value)
