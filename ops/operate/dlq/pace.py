"""How fast letters are sent: what the partner's allowance has left over beside live traffic, and a pace that keeps it.

    left over = 90% of what the partner takes (declared, or what the fleet has learnt, if that is less)
                - live traffic (messages a second that came into the queue in the last five minutes x calls of a letter)

A tenth stays free: figures are of the last minutes. While it runs, the queue is looked at, and sending stops as long as
more waits there than the partner takes in some seconds: whatever the figures say, live traffic goes first.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from partners import Limits
from shared.errors import StateUnavailable
from shared.state import FLOW, PARTNER, State
from worker_fn.limits.flow import Flow

FREE = 0.9
SHARE_UNKNOWN = 0.5
"""The share of the partner's rate that is used if nobody knows how much live traffic uses."""
WITHOUT_LIMIT = 20.0
"""Calls a second to a partner without a known limit."""
LIVE_S = 300
CATCH_UP_S = 1.0
"""The most time that is made up for after an interruption: more would be a burst."""
WAITING_S = 5.0
"""The queue may hold the messages that the partner takes in this time; with more in it, live traffic waits."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Letters a second, and how they were computed."""

    per_s: float
    why: str


def left_over(
    limits: Limits, *, learnt: float | None, live_per_s: float | None, calls_per_letter: float, accounts: int
) -> Allowance:
    """The rate that is left for letters. `learnt` is the fleet's limit in calls a second, `live_per_s` are messages."""
    declared = limits.rate.per_second if limits.rate else None
    known = [one for one in (declared, learnt) if one is not None]
    if not known:
        takes, why = WITHOUT_LIMIT, f"no limit of the partner's is known, so {WITHOUT_LIMIT:g} calls/s"
    else:
        takes = min(known)
        why = f"the partner takes {takes:,.4g} calls/s" + (
            " (learnt, or set by hand)" if takes != declared else " (declared)"
        )
    if live_per_s is None:
        calls, why = takes * SHARE_UNKNOWN, f"{why}; live traffic is not known: half of it"
    else:
        live = live_per_s * calls_per_letter
        calls, why = max(0.0, FREE * takes - live), f"{why}, live traffic uses {live:,.3g}, a tenth stays free"
    per_s = calls / calls_per_letter
    if limits.account_rate and accounts:
        of_accounts = SHARE_UNKNOWN * limits.account_rate.per_second * accounts / calls_per_letter
        if of_accounts < per_s:
            per_s, why = of_accounts, f"{why}; half of what it takes of {accounts:,} account(s)"
    return Allowance(per_s, f"{why}; {calls_per_letter:,.3g} call{'' if calls_per_letter == 1 else 's'} a letter")


async def learnt_limit(state: State) -> float | None:
    """The limit that the fleet has learnt, in calls a second; None: it has none, or the table does not answer."""
    try:
        return Flow.of(await state.read(PARTNER, FLOW)).limit.per_second
    except StateUnavailable:
        return None


def live_per_s(cloudwatch: Any, queue_url: str, *, now_s: float) -> float | None:
    """Messages a second that came into the queue in the last whole minutes; None if CloudWatch does not say."""
    end = datetime.fromtimestamp(now_s // 60 * 60, UTC)
    metric = {
        "Namespace": "AWS/SQS",
        "MetricName": "NumberOfMessagesSent",
        "Dimensions": [{"Name": "QueueName", "Value": queue_url.rpartition("/")[2]}],
    }
    query = {"Id": "sent", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
    try:
        found = cloudwatch.get_metric_data(
            MetricDataQueries=[query], StartTime=end - timedelta(seconds=LIVE_S), EndTime=end
        )
        values = found["MetricDataResults"][0]["Values"]
    except (BotoCoreError, ClientError, KeyError, IndexError):
        return None
    return sum(values) / LIVE_S if values else None


class Pacer:
    """Holds a rate by an absolute schedule, so that the time of a call is not lost."""

    def __init__(
        self,
        per_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.per_s = per_s
        self._clock, self._sleep = clock, sleep
        self._due_s = clock()

    def now_s(self) -> float:
        return self._clock()

    def wait(self, longest_s: float = 1.0) -> bool:
        """Wait until more may be sent, but not longer than a bound; returns whether it may."""
        early_s = self._due_s - self._clock()
        if early_s > 0:
            self._sleep(min(early_s, longest_s))
        return early_s <= longest_s

    def sent(self, count: int) -> None:
        self._due_s = max(self._due_s, self._clock() - CATCH_UP_S) + count / self.per_s

    def pause(self, seconds: float) -> None:
        """Send nothing for a while, and do not make up for it."""
        self._sleep(seconds)
        self._due_s = max(self._due_s, self._clock())
