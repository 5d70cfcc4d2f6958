"""A registration that breaks a rule: refused, then deployed by force, and then answered to mParticle as it is."""

import json
from pathlib import Path

import pytest

from ops.local.aws import LocalAws, LocalAwsError
from tests.e2e.operated import MPARTICLE_ACCOUNT
from tests.integration.infra.deploy_tool import copied, equipped

STAGE = "forced"
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
def checkout(tmp_path: Path) -> Path:
    """A checkout with such a partner in it."""
    folder = equipped(copied(tmp_path))
    (folder / "partners" / "velo.py").write_text(MODULE)
    return folder


def test_a_rule_is_broken_by_force_alone(aws: LocalAws, checkout: Path) -> None:
    """Without --force nothing is deployed; with --force mParticle gets the registration as it was declared."""
    with pytest.raises(LocalAwsError, match="user_attribute_change is a supported event type") as refused:
        aws.deploy(STAGE, env={"PARTNER": "partners.velo"}, cwd=checkout)
    assert "serverless deploy --force" in str(refused.value)
    stacks = aws.client("cloudformation").list_stacks()["StackSummaries"]
    assert f"spillway-{STAGE}" not in {one["StackName"] for one in stacks}

    outputs = aws.deploy(STAGE, env={"PARTNER": "partners.velo"}, cwd=checkout, arguments=["--force"])
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
