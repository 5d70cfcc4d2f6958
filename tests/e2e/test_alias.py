"""A deploy goes live or waits beside the live version, and `serverless promote` decides later: on real deploys."""

import re
from collections.abc import Iterator

import pytest

from ops.local.aws import LocalAws, LocalAwsError

STAGE = "alias"
FUNCTIONS = ("spillway-alias-ingest", "spillway-alias-worker")


class Release:
    """A stack of its own, whose versions differ in the partner's address."""

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws

    def deploy(self, path: str, **env: str) -> dict[str, str]:
        return self.aws.deploy(STAGE, env={"WEBHOOK_URL": f"http://127.0.0.1:9/{path}", **env})

    def promote(self, *arguments: str) -> str:
        return self.aws.serverless("promote", *arguments, stage=STAGE)

    def live(self) -> list[tuple[str, str]]:
        """For each function the version behind the alias, and the address it would deliver to."""
        lambdas = self.aws.client("lambda")
        found = [lambdas.get_function_configuration(FunctionName=name, Qualifier="production") for name in FUNCTIONS]
        versions = [lambdas.get_alias(FunctionName=name, Name="production")["FunctionVersion"] for name in FUNCTIONS]
        addresses = [one["Environment"]["Variables"]["WEBHOOK_URL"].rsplit("/", 1)[1] for one in found]
        return list(zip(versions, addresses, strict=True))


@pytest.fixture
def release(aws: LocalAws) -> Iterator[Release]:
    yield Release(aws)
    aws.serverless("remove", stage=STAGE)


def test_a_deploy_goes_live_or_waits_until_it_is_promoted(release: Release) -> None:
    """Moved, held, promoted, taken back and pinned: both functions always go together."""
    release.deploy("one", ALIAS_MODE="hold")
    assert release.live() == [("1", "one")] * 2, "nothing was live, so the first deploy is, held or not"

    release.deploy("two", ALIAS_MODE="hold")
    assert release.live() == [("1", "one")] * 2

    said = release.promote()
    assert release.live() == [("2", "two")] * 2
    assert "spillway-alias-ingest production: 1 -> 2" in said

    release.promote("--to", "ingest=1,worker=2")
    assert release.live() == [("1", "one"), ("2", "two")]
    release.promote("--to", "1")
    assert release.live() == [("1", "one")] * 2

    release.deploy("three", ALIAS_MODE="2")
    assert release.live() == [("2", "two")] * 2

    release.deploy("three")
    assert release.live() == [("3", "three")] * 2

    with pytest.raises(LocalAwsError, match="spillway-alias-ingest has no version 9; it has 1, 2, 3"):
        release.promote("--to", "9")
    with pytest.raises(LocalAwsError, match='--to is "newest"; it is a version number, or one for each'):
        release.promote("--to", "newest")
    assert release.live() == [("3", "three")] * 2, "what is refused changes nothing"


def test_a_deploy_ends_with_what_to_give_to_mparticle(aws: LocalAws, stack: dict[str, str]) -> None:
    """`serverless info`, as at the end of a deploy, names the alias's ARN and the live versions."""
    said = aws.serverless("info")
    assert f"IngestAliasArn, to give to mParticle: {stack['IngestAliasArn']}" in said
    assert re.search(r"ingest: version \d+\n *worker: version \d+", said)


def test_promoting_what_was_never_deployed_is_said_in_one_line(aws: LocalAws) -> None:
    """Before the first deploy there is no alias to move."""
    with pytest.raises(LocalAwsError, match="spillway-never-ingest has no alias production yet: deploy first"):
        aws.serverless("promote", stage="never")
