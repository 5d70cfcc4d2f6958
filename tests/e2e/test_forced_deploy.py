"""A registration that breaks a rule: refused, then deployed by force, and then answered to mParticle as it is."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.local.aws import ROOT, LocalAws, LocalAwsError

STAGE = "forced"
MPARTICLE_ACCOUNT = "338661164609"
MODULE = """\
from partners import Partner
from shared.firehose import *

class Velo(Partner):
    name = "velo"

    def deliveries(self, request):
        return ()

    def registration(self):
        return Registration(
            name="Velo",
            version="1.6.0",
            description="Rides.",
            event_processing_registration=EventProcessingRegistration(
                supported_event_types=["user_attribute_change"], supported_runtime_environments=["ios"]
            ),
        )
"""


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a deploy whose zips hold such a partner."""
    (tmp_path / "velo_partner.py").write_text(MODULE)
    zips = ROOT / "build" / "local-forced"
    shutil.rmtree(zips, ignore_errors=True)
    zips.mkdir()
    shutil.copy(ROOT / "build" / "local" / "release.json", zips)
    for name in ("ingest.zip", "worker.zip"):
        shutil.copy(ROOT / "build" / "local" / name, zips)
        with zipfile.ZipFile(zips / name, "a") as archive:
            archive.writestr("velo_partner.py", MODULE)
    yield {
        "PARTNER": "velo_partner",
        "PYTHONPATH": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PKG_TARGET": zips.name,
    }
    shutil.rmtree(zips)


def test_a_rule_is_broken_by_force_alone(aws: LocalAws, env: dict[str, str]) -> None:
    """Without --force nothing is deployed; with it mParticle is told what was declared."""
    with pytest.raises(LocalAwsError, match="user_attribute_change is a supported event type") as refused:
        aws.deploy(STAGE, env=env)
    assert "serverless deploy --force" in str(refused.value)
    stacks = aws.client("cloudformation").list_stacks()["StackSummaries"]
    assert f"spillway-{STAGE}" not in {one["StackName"] for one in stacks}

    outputs = aws.deploy(STAGE, env=env, arguments=["--force"])
    try:
        answer = aws.client("lambda", account_id=MPARTICLE_ACCOUNT).invoke(
            FunctionName=outputs["IngestAliasArn"],
            Payload=json.dumps({"type": "module_registration_request", "id": "r-1"}).encode(),
        )
        told = json.loads(answer["Payload"].read())
        assert answer.get("FunctionError") is None, told
        assert told["name"] == "Velo"
        assert told["event_processing_registration"]["supported_event_types"] == ["user_attribute_change"]
    finally:
        aws.serverless("remove", stage=STAGE)
