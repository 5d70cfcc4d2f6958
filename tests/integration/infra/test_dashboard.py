"""What an operator looks at and what raises an alarm: the dashboard and the alarms."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

import worker_fn.settings
from shared.telemetry import NAMESPACE, Metric
from tests.integration.infra.templates import Package, Template, of_type, resolved

NOT_SHOWN = {Metric.ENQUEUED_BYTES}
"""What is for the bill."""
DAY_S = 86_400


def page(template: Template) -> dict[str, Any]:
    """The dashboard's body as CloudWatch gets it, with logical ids in place of names."""
    (dashboard,) = of_type(template, "AWS::CloudWatch::Dashboard").values()
    body: dict[str, Any] = json.loads(re.sub(r"\$\{([^}]+)\}", r"\1", dashboard["DashboardBody"]["Fn::Sub"]))
    return body


def metrics(body: dict[str, Any]) -> Iterator[list[str]]:
    """Namespace, name and dimensions of each metric of the page, with abbreviations (`.`, `...`) written out."""
    for widget in body["widgets"]:
        before: list[str] = []
        for told in widget["properties"].get("metrics", ()):
            names = [one for one in told if isinstance(one, str)]
            if names == ["..."]:
                names = before
            elif names:
                names = [before[place] if one == "." else one for place, one in enumerate(names)]
            else:
                (found,) = re.findall(r"^SEARCH.*MetricName=\"(\w+)\"", told[0]["expression"]) or [None]
                names = [NAMESPACE, found, *_searched(told[0]["expression"])] if found else []
            if names:
                before = names
                yield names


def _searched(expression: str) -> list[str]:
    return ["stage", *re.findall(r" stage=\"([\w-]+)\"", expression), "service", "worker"]


def test_the_page_is_there_with_every_metric_of_ours(any_stage: Template) -> None:
    """The page shows every metric that the functions write, and no other."""
    ours = [one for one in metrics(page(any_stage)) if one[0] == NAMESPACE]
    assert {one[1] for one in ours} == set(Metric) - NOT_SHOWN
    functions = of_type(any_stage, "AWS::Lambda::Function").values()
    (stage,) = {one["Environment"]["Variables"]["STAGE"] for one in functions}
    for _, name, *dimensions in ours:
        service = dict(zip(dimensions[::2], dimensions[1::2], strict=True))
        assert service["stage"] == stage, name
        assert service["service"] in {"ingest", "worker"}


def test_the_page_of_a_pod_shows_the_pods_metrics(package: Package) -> None:
    """The pages of two pods in one region show different metrics."""
    ours = [one for one in metrics(page(package("production", POD="us2"))) if one[0] == NAMESPACE]
    assert {one[3] for one in ours} == {"production-us2"}


def test_the_page_reads_as_a_message_flows(any_stage: Template) -> None:
    """Rows follow each other without a gap, each fills the width, and their numbers go from 1 to 6."""
    widgets = page(any_stage)["widgets"]
    assert [(one["y"], one["x"]) for one in widgets] == sorted((one["y"], one["x"]) for one in widgets)
    rows: dict[int, int] = {}
    for one in widgets:
        assert one["x"] == rows.get(one["y"], 0)
        rows[one["y"]] = one["x"] + one["width"]
    assert set(rows.values()) == {24}
    titles = [one["properties"].get("title", "") for one in widgets]
    assert [title[0] for title in titles if title[:1].isdigit()] == list("123456")


def test_all_that_the_page_names_is_in_the_stack(any_stage: Template) -> None:
    """The page's queues, functions and alarms are in the stack; it shows every alarm but the one that needs a URL."""
    (dashboard,) = of_type(any_stage, "AWS::CloudWatch::Dashboard").values()
    names = set(re.findall(r"\$\{([^}]+)\}", dashboard["DashboardBody"]["Fn::Sub"])) - {"AWS::Region"}
    assert {name.partition(".")[0] for name in names} <= set(any_stage["Resources"])
    alarms = of_type(any_stage, "AWS::CloudWatch::Alarm")
    assert {name.removesuffix(".Arn") for name in names if name.endswith("Alarm.Arn")} == set(alarms) - {
        "UrlErrorAlarm"
    }


def test_a_stage_in_two_regions_has_two_pages(package: Package) -> None:
    """Dashboards belong to an account, so their names contain the region."""
    names = {
        next(iter(of_type(one, "AWS::CloudWatch::Dashboard").values()))["DashboardName"]
        for one in (package("production"), package("production", AWS_REGION="eu-central-1"))
    }
    assert names == {"spillway-production-us-east-1", "spillway-production-eu-central-1"}


def test_alarms_of_our_metrics_watch_what_is_measured(any_stage: Template) -> None:
    """Alarms use the names and dimensions of metrics that the functions write."""
    functions = of_type(any_stage, "AWS::Lambda::Function").values()
    (stage,) = {one["Environment"]["Variables"]["STAGE"] for one in functions}
    watched = {}
    for alarm in of_type(any_stage, "AWS::CloudWatch::Alarm").values():
        if alarm["Namespace"] == NAMESPACE:
            dimensions = {one["Name"]: one["Value"] for one in alarm["Dimensions"]}
            assert dimensions.pop("stage") == stage
            watched[alarm["MetricName"]] = dimensions
    worker, ingest = {"service": "worker"}, {"service": "ingest"}
    assert watched == {
        Metric.BREAKER_OPEN: worker,
        Metric.OLDEST_WAITING: worker,
        Metric.OLDEST_ERASURE: worker,
        Metric.LEDGER_GAP: worker,
        Metric.ANSWER_TIME: ingest,
    }


def test_one_answer_of_a_hundred_may_take_over_200_ms(any_stage: Template) -> None:
    """The alarm has mParticle's rule, over a quarter of an hour."""
    alarm = of_type(any_stage, "AWS::CloudWatch::Alarm")["AnswerAlarm"]
    assert (alarm["ExtendedStatistic"], alarm["Threshold"]) == ("p99", 200)
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 900
    assert "Statistic" not in alarm


@pytest.mark.parametrize(
    ("told", "old_s", "late_s"),
    [({}, None, DAY_S), ({"MAX_AGE_S": "7200", "ERASURE_MAX_AGE_S": "86400"}, 3_600, DAY_S / 2)],
)
def test_age_wakes_somebody_while_half_of_the_budget_is_left(
    package: Package, told: dict[str, str], old_s: int | None, late_s: float
) -> None:
    """The alarm is raised at half of the time that the worker's setting or default allows; for an erasure after a day
    at the latest.
    """
    template = package("production", **told)
    variables = of_type(template, "AWS::Lambda::Function")["WorkerLambdaFunction"]["Environment"]["Variables"]
    settings = worker_fn.settings.Settings.from_env({"AWS_REGION": "us-east-1", **resolved(variables)})
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    assert alarms["AgeAlarm"]["Threshold"] == settings.max_age_s / 2
    assert old_s is None or alarms["AgeAlarm"]["Threshold"] == old_s
    assert alarms["ErasureAlarm"]["Threshold"] == late_s == min(DAY_S, settings.erasure_max_age_s / 2)
