"""The worker's tick, run now, so that the effect of a command need not wait for the next tick, within a minute."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ops.operate.stack import Stack, StackUnavailable, refusal_as

LONGEST_TICK_S = 900
"""Lambda's longest time-out."""


def run(stack: Stack, *, probe: bool = False) -> dict[str, Any]:
    """Invoke the live worker as its schedule does; returns the tick's report. `probe`: try the partner even if none is
    due.

    Raises StackUnavailable.
    """
    payload = {"tick": {"mapping_id": stack.output("WorkerMappingId"), **({"probe": True} if probe else {})}}
    client = stack.client("lambda", read_timeout=LONGEST_TICK_S, retries={"total_max_attempts": 1})
    with refusal_as("the worker could not be invoked ({}): its tick comes once a minute"):
        answer = client.invoke(FunctionName=stack.output("WorkerAliasArn"), Payload=json.dumps(payload))
    report: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise StackUnavailable(f"the worker's tick failed ({report.get('errorType', 'unknown')}): look at its log")
    return report


def is_running(report: Mapping[str, Any]) -> bool:
    """Whether the tick left the intake running, or had it resumed."""
    return bool(report["resumed"] or report.get("running"))


def said(report: Mapping[str, Any], *, of_probe: bool = True) -> Iterator[str]:
    """What a tick's report says about the partner and the intake, a line for each.

    Without `of_probe`, if nobody asked for a probe, nothing is said about why a running intake had none.
    """
    if report["probed"]:
        answer = report.get("answer")
        yield f"the probe was answered with {answer}" if answer else "the probe arrived"
    elif report.get("no_probe") and (of_probe or not is_running(report)):
        yield f"no probe was made: {report['no_probe']}"
    if report["resumed"]:
        yield "resumed: batches arrive within a minute"
    elif report.get("running"):
        yield "the intake is running"
    elif report.get("stopped_by"):
        yield f"the intake stays stopped by {report['stopped_by']}"
    elif report["trouble"]:
        yield "Lambda or the state table did not answer: the next tick, within a minute, tries again"
    else:
        yield "the worker is of a release that does not say whether the intake runs: spillway doctor does"
