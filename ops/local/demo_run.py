"""The demo from end to end: an embedded AWS, a partner, two deploys, two runs, one report."""

from collections.abc import Sequence
from pathlib import Path

from ops.local import interrupts, report, report_page
from ops.local.aws import LocalAws, local_aws
from ops.local.demo_settings import DemoSettings
from ops.local.demo_side import QueueProbe, Traffic, run_side
from ops.local.live_view import View
from ops.local.mparticle import MParticle, Parcel
from ops.local.partner_api import Behaviour, PartnerApi, serve
from ops.samples import make_request
from shared.message import to_json

STACK = Path(__file__).with_name("demo_stack")
API_KEY = "demo-api-key"
STAGE = "local"
SEEDS_APART = 200_000
"""Each request of a demo has a seed of its own; those of another SEED start where these end."""
ROOM = 20
"""Account concurrency above LIMIT, so that the functions' own limits are what is measured."""

NOTES = (
    "Both designs ran on this machine, one after the other, on the same embedded AWS, against the same partner, with"
    " the same requests and the same limit of concurrent executions. The numbers are those of this one run.",
    "Every execution environment of both designs was started before anything was measured: the embedded AWS starts"
    " processes on two cores, which says nothing about the cold starts of AWS.",
    "Each request was sent once. mParticle sends a throttled request again, with back-off, until it is taken: throttled"
    " requests are late and add load, they are not lost.",
    "Answer times are those of accepted requests. On the embedded AWS they hold milliseconds of its own work for each"
    " invocation, for both designs alike.",
    "Lost are events of accepted requests that never reached the partner, told by their ids.",
)


def run(settings: DemoSettings, *, view: View, folder: Path) -> tuple[report.Side, report.Side]:
    """Run both designs and write the report into `folder`; gives what was measured, direct first."""
    api = PartnerApi(
        Behaviour(
            latency_ms=settings.partner_latency_ms,
            rate_per_s=settings.partner_rate,
            failure_rate=settings.partner_failure_rate,
            token=API_KEY,
            seed=settings.seed,
        )
    )
    view.say("Starting an embedded AWS on a free port of 127.0.0.1")
    with serve(api) as partner_url, local_aws(account_concurrency=settings.limit + ROOM) as aws:
        sides = [
            _run_direct(aws, api, partner_url, settings=settings, view=view),
            _run_spillway(aws, api, partner_url, settings=settings, view=view),
        ]
        view.say("Stopping the embedded AWS")
    _write(folder, sides, settings)
    return sides[0], sides[1]


def _run_direct(aws: LocalAws, api: PartnerApi, partner_url: str, *, settings: DemoSettings, view: View) -> report.Side:
    view.say("Deploying the direct design")
    env = {"WEBHOOK_URL": partner_url, "DIRECT_RESERVED_CONCURRENCY": str(settings.limit)}
    outputs = aws.deploy(STAGE, env=env, cwd=STACK)
    _reserve(aws, outputs["DirectArn"], settings.limit)
    return interrupts.run(
        run_side(
            "direct",
            _mparticle(aws, outputs["DirectArn"], settings),
            _traffic(settings, at_once=settings.limit),
            settings=settings,
            api=api,
            view=view,
        )
    )


def _run_spillway(
    aws: LocalAws, api: PartnerApi, partner_url: str, *, settings: DemoSettings, view: View
) -> report.Side:
    view.say("Deploying Spillway")
    env = {
        "PARTNER": "partners.webhook",
        "WEBHOOK_URL": partner_url,
        "WEBHOOK_PER": "event",
        "WEBHOOK_AUTH": "bearer",
        "MAX_IN_FLIGHT": str(settings.max_in_flight),
        "MAX_CONCURRENCY": str(settings.workers),
        "INGEST_RESERVED_CONCURRENCY": str(settings.ingest_limit),
    }
    outputs = aws.deploy(STAGE, env=env)
    _reserve(aws, outputs["IngestAliasArn"], settings.ingest_limit)
    return interrupts.run(
        run_side(
            "Spillway",
            _mparticle(aws, outputs["IngestAliasArn"], settings),
            _traffic(settings, at_once=settings.ingest_limit),
            settings=settings,
            api=api,
            view=view,
            queue=_queue_probe(aws, outputs["QueueUrl"]),
        )
    )


def _reserve(aws: LocalAws, arn: str, executions: int) -> None:
    """Set the reserved concurrency that the template asks for: MiniStack's CloudFormation leaves it out."""
    function_name = arn.split(":")[6]
    aws.client("lambda").put_function_concurrency(FunctionName=function_name, ReservedConcurrentExecutions=executions)


def _mparticle(aws: LocalAws, arn: str, settings: DemoSettings) -> MParticle:
    return MParticle(aws.endpoint_url, arn, region=aws.region, connections=settings.limit + ROOM)


def _queue_probe(aws: LocalAws, queue_url: str) -> QueueProbe:
    sqs = aws.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def probe() -> tuple[int, int]:
        attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
        return int(attributes[names[0]]), int(attributes[names[1]])

    return probe


def _traffic(settings: DemoSettings, *, at_once: int) -> Traffic:
    """The same spike for both designs; the warm-up is as wide as the design may be."""
    first = settings.seed * SEEDS_APART
    return Traffic(
        registration=Parcel(to_json(make_request("module_registration_request", seed=first))),
        probes=[_parcel(settings, first + 1, events=0)],
        warm_up=[_parcel(settings, first + SEEDS_APART // 2 + number) for number in range(2 * at_once)],
        spike=[_parcel(settings, first + 2 + number) for number in range(settings.requests)],
    )


def _parcel(settings: DemoSettings, seed: int, *, events: int | None = None) -> Parcel:
    customers = settings.account_ids
    request = make_request(
        "event_processing_request",
        seed=seed,
        events=settings.events if events is None else events,
        account_id=customers[seed % len(customers)],
    )
    request["account"]["account_settings"] = {"apiKey": API_KEY}
    request.pop("system_notifications", None)  # a call to the partner each, which the events' numbers would not show
    return Parcel(to_json(request), tuple(event["id"] for event in request["events"]))


def _write(folder: Path, sides: Sequence[report.Side], settings: DemoSettings) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    direct, spillway = sides
    (folder / "report.json").write_bytes(report.as_json(direct, spillway, settings=settings.as_json(), notes=NOTES))
    page = report_page.render(direct, spillway, settings=settings.as_json(), notes=NOTES)
    (folder / "report.html").write_text(page, encoding="utf-8")
