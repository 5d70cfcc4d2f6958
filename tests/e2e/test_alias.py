"""A deploy goes live or waits beside the live version, and promote and rollback decide later: on real deploys."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from ops.local.aws import LocalAws
from ops.local.mparticle import Ended, Invocation, MParticle, Parcel
from ops.operate.stack import StackUnavailable, find_stack
from ops.releases import listing, moves
from ops.releases.functions import DeployedFunctions
from ops.releases.moves import NotPromoted
from ops.releases.pair import UnknownVersion
from shared.message import to_json
from testkit.requests import make_request
from tests.e2e.operated import until

STAGE = "alias"
FUNCTIONS = ("spillway-alias-ingest", "spillway-alias-worker")
RATE_PER_S = 10
REQUESTS = 100
WARM = 4
"""Environments of each version that are started before anything counts: how long that takes here says nothing."""
UNHURRIED = ("--param=ingestTimeoutS=30",)
"""As in the stage `local`: a cold start beside other work takes seconds, and none of them is ended for it."""


class Located:
    """A session whose clients reach the embedded AWS."""

    def __init__(self, session: Any, endpoint_url: str) -> None:
        self.region_name = session.region_name
        self._session, self._endpoint_url = session, endpoint_url

    def client(self, service: str, **config: Any) -> Any:
        return self._session.client(service, endpoint_url=self._endpoint_url, **config)


class Release:
    """A stack of its own, whose versions differ in the partner's address."""

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws

    def deploy(self, path: str, **env: str) -> dict[str, str]:
        return self.deploy_to(f"http://127.0.0.1:9/{path}", **env)

    def deploy_to(self, url: str, **env: str) -> dict[str, str]:
        return self.aws.deploy(STAGE, env={"WEBHOOK_URL": url, **env}, arguments=UNHURRIED)

    @property
    def functions(self) -> DeployedFunctions:
        """The stack's functions, found in the same way as the command finds them."""
        session = boto3.session.Session(
            aws_access_key_id=self.aws.account_id, aws_secret_access_key="local", region_name=self.aws.region
        )
        return DeployedFunctions(find_stack(STAGE, Located(session, self.aws.endpoint_url)))

    def promote(self, to: str | None = None) -> list[str]:
        return moves.promote(self.functions, to)

    def rollback(self) -> list[str]:
        return moves.rollback(self.functions)

    def live(self) -> list[tuple[str, str]]:
        """The version behind each function's alias, and the address to which that version delivers."""
        lambdas = self.aws.client("lambda")
        found = [lambdas.get_function_configuration(FunctionName=name, Qualifier="production") for name in FUNCTIONS]
        versions = self.live_versions()
        addresses = [one["Environment"]["Variables"]["WEBHOOK_URL"].rsplit("/", 1)[1] for one in found]
        return list(zip(versions, addresses, strict=True))

    def live_versions(self) -> list[str]:
        lambdas = self.aws.client("lambda")
        return [lambdas.get_alias(FunctionName=name, Name="production")["FunctionVersion"] for name in FUNCTIONS]


async def warm(aws: LocalAws, arn: str, parcels: list[Parcel]) -> bool:
    """Start environments of one version side by side, as the stack's owner; returns whether all answered quickly
    enough.
    """
    async with MParticle(aws.endpoint_url, arn, region=aws.region, account_id=aws.account_id) as owner:
        answers = await asyncio.gather(*map(owner.invoke, parcels))
    return all(one.outcome is Ended.ACCEPTED for one in answers)


@pytest.fixture
def release(aws: LocalAws) -> Iterator[Release]:
    yield Release(aws)
    aws.serverless("remove", stage=STAGE)


def test_a_deploy_goes_live_or_waits_until_it_is_promoted(release: Release) -> None:
    """A deploy can move the alias, hold it or pin a version; promote and rollback move it later. Both functions always
    move together.
    """
    release.deploy("one", ALIAS_MODE="hold")
    assert release.live() == [("1", "one")] * 2, "nothing was live, so the first deploy is, held or not"

    release.deploy("two", ALIAS_MODE="hold")
    assert release.live() == [("1", "one")] * 2

    said = release.promote()
    assert release.live() == [("2", "two")] * 2
    assert said[0].startswith("spillway-alias-ingest production: 1 -> 2  commit ")

    release.promote("ingest=1,worker=2")
    assert release.live() == [("1", "one"), ("2", "two")]
    release.rollback()
    assert release.live() == [("2", "two")] * 2, "back to what was live before, of both"

    release.deploy("three", ALIAS_MODE="1")
    assert release.live() == [("1", "one")] * 2

    release.deploy("three")
    assert release.live() == [("3", "three")] * 2
    release.rollback()
    assert release.live() == [("1", "one")] * 2, "a deploy notes what it replaced"
    with pytest.raises(NotPromoted, match="was rolled back"):
        release.promote()

    release.deploy("three")
    assert release.live() == [("1", "one")] * 2, "a deploy of nothing new leaves the alias, and what it remembers"
    release.rollback()
    assert release.live() == [("2", "two")] * 2, "going back again goes further back"

    with pytest.raises(UnknownVersion, match="spillway-alias-ingest has no version 9; it has 1, 2, 3"):
        release.promote("9")
    assert release.live() == [("2", "two")] * 2, "what is refused changes nothing"


def test_versions_say_what_is_live_and_old_ones_are_pruned(release: Release) -> None:
    """`versions` shows each version's commit and message versions; pruning never removes the live version or the one
    before it.
    """
    for path in ("one", "two", "three", "four"):
        release.deploy(path)
    release.promote("2")
    functions = release.functions.read()
    rows = [row for row in json.loads(listing.as_json(functions))["versions"] if row["function"] == "worker"]
    assert [(row["version"], row["state"], row["messages"]) for row in rows] == [
        (4, "previous", [1]), (3, "", [1]), (2, "live", [1]), (1, "", [1]),
    ]  # fmt: skip
    assert all(re.fullmatch(r"[0-9a-f]{12}(-dirty)?|unknown", row["commit"]) for row in rows)
    assert [line.split(": ")[1] for line in listing.prune(release.functions, functions, 1)] == [
        "version 1 deleted", "version 3 deleted",
    ] * 2  # fmt: skip
    release.rollback()
    assert release.live() == [("4", "four")] * 2


def test_promote_and_rollback_under_traffic_lose_nothing(release: Release, partner: Any) -> None:
    """While mParticle sends all the time, no invocation fails and every event arrives."""
    outputs = release.deploy_to(partner.url)
    release.deploy_to(partner.url, ALIAS_MODE="hold", LOG_LEVEL="WARNING", WEBHOOK_METHOD="PUT")
    requests = [make_request("event_processing_request", seed=7_000 + number, events=2) for number in range(REQUESTS)]
    parcels = [Parcel(to_json(request)) for request in requests]
    answered: list[Invocation] = []
    ingest_arn = outputs["IngestAliasArn"].removesuffix("production")
    for version in ("1", "2"):
        until(lambda arn=ingest_arn + version: asyncio.run(warm(release.aws, arn, parcels[:WARM])))

    async def send() -> None:
        # As many at once as are warm, however long a busy machine takes for an answer.
        async with MParticle(
            release.aws.endpoint_url, outputs["IngestAliasArn"], region=release.aws.region, connections=WARM
        ) as mparticle:
            traffic = asyncio.create_task(
                mparticle.spike(parcels, [number / RATE_PER_S for number in range(REQUESTS)], answered.append)
            )
            for share, move in ((0.25, release.promote), (0.5, release.rollback), (0.75, lambda: release.promote("2"))):
                while len(answered) < REQUESTS * share:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(move)
            await traffic

    asyncio.run(send())
    assert not [(one.status, one.payload) for one in answered if one.outcome is not Ended.ACCEPTED]
    assert len(answered) == REQUESTS
    assert release.live_versions() == ["2", "2"]
    sent = {event["id"] for request in requests for event in request["events"]}
    until(lambda: sent <= set(partner.api.ledger.arrivals))
    assert not release.aws.client("sqs").receive_message(QueueUrl=outputs["DlqUrl"]).get("Messages")


def test_a_deploy_ends_with_what_to_give_to_mparticle(aws: LocalAws, stack: dict[str, str]) -> None:
    """`serverless info`, like the end of a deploy, names the alias's ARN and the live versions."""
    said = aws.serverless("info")
    assert f"IngestAliasArn, to give to mParticle: {stack['IngestAliasArn']}" in said
    assert re.search(r"ingest: version \d+\n *worker: version \d+", said)


def test_what_was_never_deployed_is_said_in_one_line(aws: LocalAws) -> None:
    """Before the first deploy promote and rollback say in one line that there is no stack."""
    session = boto3.session.Session(
        aws_access_key_id=aws.account_id, aws_secret_access_key="local", region_name=aws.region
    )
    with pytest.raises(
        StackUnavailable, match="no stack spillway-never in us-east-1, account 000000000000: make deploy STAGE=never"
    ):
        find_stack("never", Located(session, aws.endpoint_url))
