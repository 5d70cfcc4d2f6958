"""The ledger's gap from counts: missing messages are reported, rough counts are not."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from testkit.simulation.queues import Queues
from testkit.simulation.run import simulate
from testkit.simulation.scenario import Scenario, load_all
from worker_fn.clients.counts import STEP_S, STEPS, Step
from worker_fn.maintenance import gap
from worker_fn.maintenance.gap import EDGE, missing

ROOT = Path(__file__).parents[4]
HOUR = 3_600 // STEP_S


def day(came: Iterable[float], ended: Iterable[float], *, lost: Iterable[int] = (), before: int = 0) -> list[Step]:
    """A day in which the queue holds every message that came, did not end and was not lost, seen at the ends of
    a step.
    """
    flows = list(zip(came, ended, strict=True))
    gone = list(lost)
    changes = (arrived - left - gone.count(number) for number, (arrived, left) in enumerate(flows))
    depths = list(accumulate(changes, initial=before))
    return [
        Step(arrived, left, min(depths[number : number + 2]), max(depths[number : number + 2]))
        for number, (arrived, left) in enumerate(flows)
    ]


def steady(a_step: float) -> list[float]:
    return [a_step] * STEPS


def counted_late(steps: Sequence[Step], flow_s: float) -> list[Step]:
    """The day as SQS may report it: arrivals are counted this many seconds late."""
    share = flow_s / STEP_S
    came = [step.came for step in steps]
    late = [now * (1 - share) + before * share for before, now in zip([came[0], *came], came, strict=False)]
    return [replace(step, came=one) for step, one in zip(steps, late, strict=True)]


def test_a_message_that_vanished_is_missing_for_a_day() -> None:
    """One lost message, of a few a minute, is missing from an hour after its loss until it leaves the day."""
    steps = day(steady(10), steady(10), lost=[100])
    assert missing(steps) == 1
    assert missing(day(steady(0), steady(0), before=3, lost=[EDGE + 1])) == 1


def test_what_is_missing_adds_up() -> None:
    """Losses add up whenever they happened, and however many messages wait."""
    assert missing(day(steady(0), steady(0), before=500, lost=[50, 90, 91, 200])) == 4


def test_nothing_is_missing_while_all_is_counted() -> None:
    """There is no gap in a quiet day, a busy one, one with a backlog that comes and goes, and one that ends with a
    backlog.
    """
    outage = [*[300.0] * 200, *[300.0] * (STEPS - 200)]
    ended = [*[300.0] * 100, *[0.0] * 40, *[900.0] * 20, *[300.0] * (STEPS - 160)]
    for steps in (
        day(steady(0), steady(0)),
        day(steady(30_000), steady(30_000)),
        day(outage, ended),
        day(steady(600), [*[600.0] * 200, *[0.0] * (STEPS - 200)]),
        day(steady(0), [*[0.0] * 6, *[500.0] * 10, *[0.0] * (STEPS - 16)], before=5_000),
    ):
        assert missing(steps) == 0


@pytest.mark.parametrize("seed", range(30))
def test_rough_and_late_counts_raise_nothing(seed: int) -> None:
    """Bursts and outages with duplicates, counted up to a minute late, give no gap on any day."""
    dice = random.Random(seed)
    came = [dice.choice([0.0, 50.0, 3_000.0, 90_000.0]) * dice.random() for _ in range(STEPS)]
    waiting, ended = 0.0, list[float]()
    for arrived in came:
        waiting += arrived
        done = min(waiting, dice.choice([0.0, 0.0, 20_000.0, 200_000.0]))
        waiting -= done
        ended.append(done + (dice.random() < 0.05))  # SQS delivered one twice
    steps = counted_late(day(came, [float(int(one)) for one in ended]), dice.uniform(0, 60))
    assert missing(steps) == 0


def test_a_drain_at_the_edge_of_the_day_is_no_gap() -> None:
    """A backlog that drains through the day's first hour, counted a minute late, is not taken for a loss."""
    came = [*[30_000.0] * 20, *[3_000.0] * (STEPS - 20)]
    ended = [*[33_000.0] * 20, *[3_000.0] * (STEPS - 20)]
    assert missing(counted_late(day(came, ended, before=60_000), 60)) == 0


def test_heavy_traffic_hides_a_few_until_a_quiet_hour() -> None:
    """A loss that could be a matter of counting is not reported until the day begins and ends in quiet hours."""
    dice = random.Random(7)
    busy = [30_000 + dice.randint(-3_000, 3_000) for _ in range(STEPS)]
    assert missing(day(busy, busy, lost=[100] * 3)) == 0
    quiet = [5.0] * (EDGE + 1)
    flow = [*quiet, *busy[2 * len(quiet) :], *quiet]
    assert missing(day(flow, flow, lost=[100] * 3)) == 3
    assert (missing(day(busy, busy, lost=[100] * 5_000)) or 0) > 1_000


def test_a_message_delivered_twice_hides_one() -> None:
    """Counts cannot tell a loss and a duplicate apart; the ledger's facts can."""
    ended = steady(10)
    ended[50] += 1
    steps = day(steady(10), steady(10), lost=[100])
    assert missing([replace(step, ended=one) for step, one in zip(steps, ended, strict=True)]) == 0


def test_where_sqs_tells_nothing_nothing_is_said() -> None:
    """Without counts, or without those of the day's edges, as in a stack of an hour, no gap is reported."""
    unknown = Step(0, 0, None, None)
    steps = day(steady(1), steady(1), lost=[200])
    assert missing([]) is None
    assert missing([unknown] * STEPS) is None
    assert missing([*[unknown] * (STEPS - 2 * EDGE), *steps[-2 * EDGE :]]) is None
    assert missing([*[unknown] * 150, *steps[150:]]) == 1
    holes = [unknown if number % 3 == 0 else step for number, step in enumerate(steps)]
    assert missing(holes) == 1


def test_one_tick_of_an_hour_counts() -> None:
    """Only one tick in an hour counts, because CloudWatch's answers are paid for."""
    minutes = [minute for minute in range(180) if gap.is_due(minute * 60_000 + 31_000)]
    assert len(minutes) == 3
    assert {later - minute for minute, later in pairwise(minutes)} == {60}


def alarm() -> dict[str, Any]:
    """The alarm of infra/alarms.yml."""
    text = (ROOT / "infra/alarms.yml").read_text()
    loader = type("Tags", (yaml.SafeLoader,), {})
    loader.add_multi_constructor("!", lambda *_: None)  # type: ignore[attr-defined]
    found: dict[str, Any] = yaml.load(text, loader)["Resources"]["LedgerGapAlarm"]["Properties"]
    return found


def is_raised(hours: Sequence[int | None]) -> list[bool]:
    """Whether the alarm's rule is met after each hour, by that hour's count (None: no count)."""
    rule = alarm()
    assert (rule["MetricName"], rule["Statistic"], rule["ComparisonOperator"]) == (
        "LedgerGap",
        "Maximum",
        "GreaterThanThreshold",
    )
    assert (rule["Period"], rule["TreatMissingData"]) == (3_600, "notBreaching")
    breaches = [value is not None and value > rule["Threshold"] for value in hours]
    seen, needed = rule["EvaluationPeriods"], rule["DatapointsToAlarm"]
    return [sum(breaches[max(0, hour - seen + 1) : hour + 1]) >= needed for hour in range(len(breaches))]


def counted_hourly(steps: Sequence[Step]) -> list[int | None]:
    """The count of each hour, over the day before it."""
    return [missing(steps[max(0, end - STEPS) : end]) for end in range(HOUR, len(steps) + 1, HOUR)]


def test_the_alarm_is_raised_by_what_stays_missing_and_by_nothing_else() -> None:
    """The alarm is raised for most of a day after a loss; one count alone does not raise it, and an hour without a
    count does not clear it.
    """
    two_days = [10.0] * (2 * STEPS)
    assert not any(is_raised(counted_hourly(day(two_days, two_days))))
    raised = is_raised(counted_hourly(day(two_days, two_days, lost=[150])))
    assert (raised.index(True), sum(raised)) == (14, 22)
    assert is_raised([0, 4, 0, 0]) == [False] * 4
    assert is_raised([0, 4, None, 4])[-1]


def scenario(name: str) -> Scenario:
    return next(one for one in load_all() if one.name == name)


@pytest.mark.parametrize(("name", "lost"), [("poison", 1), ("rotated-key", 3)])
def test_a_message_that_is_removed_in_a_simulation_is_missing(
    name: str, lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run has a gap if a message is removed and none otherwise; judge.py checks every scenario for that."""
    whole = simulate(scenario(name), 1)
    assert missing(whole.deployment.counted.steps()) == 0
    receive, left = Queues.receive, [lost]

    def robbed(queues: Queues, most: int) -> list[dict[str, Any]]:
        records = receive(queues, most)
        while left[0] and records and queues.world.truth.invocations > 2:
            queues.delete(records.pop())
            left[0] -= 1
        return records

    monkeypatch.setattr(Queues, "receive", robbed)
    run = simulate(scenario(name), 1)
    assert left == [0]
    assert missing(run.deployment.counted.steps()) == lost
