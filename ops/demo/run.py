"""The demo from end to end: an embedded AWS, a partner, the deploys, the runs, one report."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ops.console import interrupts
from ops.demo import figures, report, report_page
from ops.demo.figures import Letter, Remains, Sample
from ops.demo.live_view import View
from ops.demo.report import DIRECT, SPILLWAY
from ops.demo.scenarios import HEALTHY, SEEDS_APART, DemoScenario, calm, parcel
from ops.demo.settings import DemoSettings
from ops.demo.side import DemoFailed, DesignQueues, Traffic, run_side
from ops.local.aws import LocalAws, local_aws
from ops.local.mparticle import MParticle, Parcel
from ops.local.partner_api import LoopbackPartner, serve
from ops.operate import ledger
from ops.operate.depth import Depth, depth
from ops.operate.facts import Logs, names_in
from shared.ledger import Depths
from shared.message import decode, to_json
from shared.state import item_of
from testkit.requests import make_request
from worker_fn.limits.flow import Flow

STACK = Path(__file__).with_name("direct_stack")
STAGE = "local"
ROOM = 20
"""Account concurrency above LIMIT, so that the functions' own limits are what is measured."""

NOTES = (
    "Each request was sent once. mParticle sends a throttled request again, with back-off, until it is taken: throttled"
    " requests are late and add load, they are not lost.",
    "Answer times are those of accepted requests. On the embedded AWS they hold milliseconds of its own work for each"
    " invocation, for any design.",
    "Lost are events of accepted requests that reached neither the partner nor a queue, told by their ids.",
    "Every execution environment was started before anything was measured: the embedded AWS starts processes on two"
    " cores, which says nothing about the cold starts of AWS.",
)
COMPARED = (
    "Both designs ran on this machine, one after the other, on the same embedded AWS, against the same partner, with"
    " the same requests and the same limit of concurrent executions. The numbers are those of this one run."
)
ALONE = "All of it ran on this machine, on an embedded AWS. The numbers are those of this one run."


def run(scenario: DemoScenario, settings: DemoSettings, *, view: View, folder: Path) -> dict[str, figures.Side]:
    """Run the scenario and write the report into `folder`; gives what was measured, by the sides' names."""
    usual = calm(settings)
    # Where trouble is to come, the warm-up must not tell the fleet about it.
    api = LoopbackPartner(usual if scenario.compares else replace(usual, rate_per_s=None, failure_rate=0))
    view.say("Starting an embedded AWS on a free port of 127.0.0.1")
    sides: dict[str, figures.Side] = {}
    with serve(api) as partner_url, local_aws(account_concurrency=settings.limit + ROOM) as aws:
        if scenario.compares:
            sides[DIRECT] = _run_direct(aws, api, partner_url, scenario=scenario, settings=settings, view=view)
        sides[SPILLWAY] = _run_spillway(aws, api, partner_url, scenario=scenario, settings=settings, view=view)
        view.say("Stopping the embedded AWS")
    _write(folder, scenario, sides, settings)
    return sides


def _run_direct(
    aws: LocalAws, api: LoopbackPartner, partner_url: str, *, scenario: DemoScenario, settings: DemoSettings, view: View
) -> figures.Side:
    view.say("Deploying the direct design")
    env = {"WEBHOOK_URL": partner_url, "DIRECT_RESERVED_CONCURRENCY": str(settings.limit)}
    outputs = aws.deploy(STAGE, env=env, cwd=STACK)
    _reserve(aws, outputs["DirectArn"], settings.limit)
    return interrupts.run(
        run_side(
            DIRECT,
            _mparticle(aws, outputs["DirectArn"], settings),
            _traffic(scenario, settings, at_once=settings.limit),
            settings=settings,
            api=api,
            view=view,
        )
    )


def _run_spillway(
    aws: LocalAws, api: LoopbackPartner, partner_url: str, *, scenario: DemoScenario, settings: DemoSettings, view: View
) -> figures.Side:
    view.say("Deploying Spillway")
    env = {
        "PARTNER": "partners.webhook",
        "WEBHOOK_URL": partner_url,
        "WEBHOOK_PER": "event",
        "WEBHOOK_AUTH": "bearer",
        "MAX_IN_FLIGHT": str(settings.max_in_flight),
        "MAX_CONCURRENCY": str(settings.workers),
        "INGEST_RESERVED_CONCURRENCY": str(settings.ingest_limit),
        **scenario.env(settings),
    }
    outputs = aws.deploy(STAGE, env=env)
    _reserve(aws, outputs["IngestAliasArn"], settings.ingest_limit)
    _tick(aws, outputs)
    began_ms = int(time.time() * 1_000)
    side = interrupts.run(
        run_side(
            SPILLWAY,
            _mparticle(aws, outputs["IngestAliasArn"], settings),
            _traffic(scenario, settings, at_once=settings.ingest_limit),
            settings=settings,
            api=api,
            view=view,
            queues=_queues(aws, outputs, settle_s=scenario.settle_s),
        )
    )
    return replace(side, accounted=_accounted(aws, outputs, began_ms))


def _accounted(aws: LocalAws, outputs: Mapping[str, str], since_ms: int) -> str:
    """The ledger of the run, its warm-up included, as `spillway ledger` counts it."""
    sqs = aws.client("sqs")
    depths = Depths(*(depth(sqs, outputs[one]).all for one in ("QueueUrl", "ParkingQueueUrl")))
    until_ms = int(time.time() * 1_000) + 1
    logs = Logs(aws.client("logs"), names_in(outputs))
    counted = ledger.count(logs, depths, since_ms=since_ms, until_ms=until_ms, account_id=None, by_account=False)
    return ledger.line_of(counted.sums)


def _reserve(aws: LocalAws, arn: str, executions: int) -> None:
    """Set the reserved concurrency that the template asks for: MiniStack's CloudFormation leaves it out."""
    function_name = arn.split(":")[6]
    aws.client("lambda").put_function_concurrency(FunctionName=function_name, ReservedConcurrentExecutions=executions)


def _tick(aws: LocalAws, outputs: Mapping[str, str]) -> None:
    """Tick once, as a stack that is older than a minute has: workers learn from it which mapping feeds them.

    The other ticks are those of the deployed rule.
    """
    payload = json.dumps({"tick": {"mapping_id": outputs["WorkerMappingId"]}}).encode()
    answer = aws.client("lambda").invoke(FunctionName=outputs["WorkerAliasArn"], Payload=payload)
    if "FunctionError" in answer:
        raise DemoFailed(f"the worker's tick failed: {answer['Payload'].read()[:300].decode('utf-8', 'replace')}")


def _mparticle(aws: LocalAws, arn: str, settings: DemoSettings) -> MParticle:
    return MParticle(aws.endpoint_url, arn, region=aws.region, connections=settings.limit + ROOM)


def _queues(aws: LocalAws, outputs: Mapping[str, str], *, settle_s: float) -> DesignQueues:
    sqs, dynamodb, lambdas = aws.client("sqs"), aws.client("dynamodb"), aws.client("lambda")
    flow_key = {"pk": {"S": "partner"}, "sk": {"S": "flow"}}

    def held(output: str) -> Depth:
        return depth(sqs, outputs[output])

    def look(at_s: float, oldest_s: float) -> Sample:
        row = dynamodb.get_item(TableName=outputs["StateTableName"], Key=flow_key).get("Item")
        flow = Flow.of(item_of(row))
        mapping = lambdas.get_event_source_mapping(UUID=outputs["WorkerMappingId"])
        queue = held("QueueUrl")
        return Sample(
            at_s,
            queue.visible,
            queue.hidden,
            oldest_s,
            parked=held("ParkingQueueUrl").all,
            dead=held("DlqUrl").all,
            limit_per_s=flow.limit.per_second,
            breaker_open=flow.breaker.is_open,
            cooling=flow.cool_until_ms > time.time() * 1_000,
            paused=mapping["State"] not in {"Enabled", "Enabling"},
        )

    def remains() -> Remains:
        letters = [
            Letter(_attribute(message, "reason"), _attribute(message, "error"), _event_ids(message["Body"]))
            for message in _all_messages(sqs, outputs["DlqUrl"])
        ]
        parked = [_event_ids(message["Body"]) for message in _all_messages(sqs, outputs["ParkingQueueUrl"])]
        return Remains(letters, frozenset(event_id for ids in parked for event_id in ids), held("QueueUrl").all)

    return DesignQueues(look, remains, settle_s)


def _all_messages(sqs: Any, url: str) -> list[dict[str, Any]]:
    """Every message of a queue that can be seen; each is taken out of sight while the others are read."""
    found: list[dict[str, Any]] = []
    while messages := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600, MessageAttributeNames=["All"]
    ).get("Messages"):
        found += messages
    return found


def _attribute(message: Mapping[str, Any], name: str) -> str:
    return str(message.get("MessageAttributes", {}).get(name, {}).get("StringValue", "none"))


def _event_ids(body: str) -> tuple[str, ...]:
    return tuple(event["id"] for event in decode(body).payload.get("events") or [])


def _traffic(scenario: DemoScenario, settings: DemoSettings, *, at_once: int) -> Traffic:
    """The same requests for both designs; the warm-up is as wide as the design may be, and of customers without
    trouble.
    """
    plan = scenario.plan(settings)
    warm = HEALTHY if scenario.names else None
    return Traffic(
        registration=Parcel(to_json(make_request("module_registration_request", seed=settings.seed * SEEDS_APART))),
        probes=[parcel(settings, 1, events=0, account_id=warm)],
        warm_up=[parcel(settings, SEEDS_APART // 2 + number, account_id=warm) for number in range(2 * at_once)],
        requests=plan.parcels,
        due_s=plan.due_s,
        behaviour=plan.behaviour,
        expected=plan.expected(scenario.names),
    )


def _write(folder: Path, scenario: DemoScenario, sides: Mapping[str, figures.Side], settings: DemoSettings) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shown = settings.as_json(scenario.shows)
    notes: Sequence[str] = (COMPARED if scenario.compares else ALONE, *scenario.notes, *NOTES)
    written = report.as_json(sides, scenario=scenario.name, settings=shown, notes=notes)
    (folder / "report.json").write_bytes(written)
    page = report_page.render(scenario, sides, settings=settings, shown=shown, notes=notes)
    (folder / "report.html").write_text(page, encoding="utf-8")
