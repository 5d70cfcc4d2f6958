import os
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber

from ops.operate.stack import Stack, StackUnavailable, find_stack, stack_name
from shared.errors import InvalidSettings

QUEUE_URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/q"
FOUND = {
    "Stacks": [
        {
            "StackName": "spillway-dev",
            "CreationTime": "2026-11-01T00:00:00Z",
            "StackStatus": "UPDATE_COMPLETE",
            "Outputs": [{"OutputKey": "QueueUrl", "OutputValue": QUEUE_URL}],
        }
    ]
}


class StubbedSession:
    """A session whose CloudFormation answers as the stub says, in the account 123456789012."""

    region_name = "eu-central-1"
    profile_name = "integrations"

    def __init__(self) -> None:
        self._cloudformation = boto3.client(
            "cloudformation",
            region_name=self.region_name,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.stub = Stubber(self._cloudformation)
        self.stub.activate()
        self._sts = boto3.client("sts", region_name=self.region_name, aws_access_key_id="t", aws_secret_access_key="t")
        self.identity = Stubber(self._sts)
        self.identity.activate()

    def client(self, service: str, **config: object) -> object:
        return {"cloudformation": self._cloudformation, "sts": self._sts}[service]


@pytest.fixture
def session() -> StubbedSession:
    return StubbedSession()


def found(session: StubbedSession) -> Stack:
    session.stub.add_response("describe_stacks", FOUND, {"StackName": "spillway-dev"})
    return find_stack("dev", session)


def test_a_stack_is_found_by_its_stage(session: StubbedSession) -> None:
    """A stack is found by its stage, with its outputs and its region."""
    stack = found(session)
    assert stack.region == "eu-central-1"
    assert stack.output("QueueUrl") == QUEUE_URL


def test_an_output_that_is_missing_asks_for_a_deploy(session: StubbedSession) -> None:
    """If an output is missing, as in a stack of an older version, the message asks for a deploy."""
    with pytest.raises(StackUnavailable, match="no output StateTableName: deploy it again"):
        found(session).output("StateTableName")


@pytest.mark.parametrize(
    ("code", "said"),
    [("ValidationError", "make deploy STAGE=production"), ("AccessDenied", r"refuses .* \(AccessDenied\)")],
)
def test_no_stack_says_what_to_run(session: StubbedSession, code: str, said: str) -> None:
    """If there is no stack, the message has the command that makes it, and AWS's own words."""
    session.stub.add_client_error("describe_stacks", service_error_code=code)
    with pytest.raises(StackUnavailable, match=said):
        find_stack("production", session)


@pytest.mark.parametrize(
    ("profile", "known", "said"),
    [
        ("", True, "in eu-central-1, account 123456789012: make deploy"),
        ("integrations", True, "in eu-central-1, account 123456789012, profile integrations: make deploy"),
        ("", False, "in eu-central-1, an account that AWS does not name: make deploy"),
    ],
)
def test_no_stack_says_where_it_was_looked_for(
    session: StubbedSession, monkeypatch: pytest.MonkeyPatch, profile: str, known: bool, said: str
) -> None:
    """If there is no stack, the message has region, account and profile: one of them is probably wrong."""
    monkeypatch.setenv("AWS_PROFILE", profile)
    session.stub.add_client_error("describe_stacks", service_error_code="ValidationError")
    if known:
        session.identity.add_response("get_caller_identity", {"Account": "123456789012"})
    else:
        session.identity.add_client_error("get_caller_identity", service_error_code="AccessDenied")
    with pytest.raises(StackUnavailable) as refused:
        find_stack("production", session)
    assert f"there is no stack spillway-production {said}" in str(refused.value)


def test_a_stages_file_says_where_the_stack_is(
    tmp_path: Path, session: StubbedSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stage's file is read once, before the stack is looked for; a line names what the shell overrides."""
    path = tmp_path / ".env.prod"
    path.write_text("POD=eu1\nPARTNER=partners.acme\nALARM_EMAIL=oncall@acme.example\n")
    path.chmod(0o600)
    monkeypatch.setenv("STAGE_FILE", str(path))
    monkeypatch.setenv("ALARM_EMAIL", "me@acme.example")
    for name in ("POD", "PARTNER"):
        monkeypatch.setenv(name, "")  # put back after the test
        monkeypatch.delenv(name)
    session.stub.add_response("describe_stacks", FOUND, {"StackName": "spillway-eu1-prod"})
    find_stack("prod", session)
    assert (os.environ["PARTNER"], os.environ["STAGE_FILE"]) == ("partners.acme", "")
    said = capsys.readouterr().err
    assert said == "spillway: stage prod: ALARM_EMAIL from the shell; PARTNER, POD from .env.prod\n"


@pytest.mark.parametrize("stage", ["s" * 55, "my_stage"])
def test_a_stage_that_cannot_be_is_refused_before_aws_is_asked(session: StubbedSession, stage: str) -> None:
    """A bad stage's name is refused before AWS is asked, in the deploy tool's words."""
    with pytest.raises(InvalidSettings, match=r"the stage '"):
        find_stack(stage, session)


def test_an_aws_out_of_reach_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """If AWS cannot be reached, one sentence says so, without a traceback."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    session = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-central-1")
    with pytest.raises(StackUnavailable, match="cannot be asked for the stack spillway-dev"):
        find_stack("dev", session)


def test_a_region_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region AWS is not asked."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(InvalidSettings, match="AWS_REGION"):
        find_stack("dev")


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_ENDPOINT_URL", "bogus"), ("AWS_REGION", "no region"), ("AWS_PROFILE", "nobody")]
)
def test_what_the_shell_sets_wrong_is_a_line(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong setting of the shell is reported in a line, whatever error boto3 makes of it."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv(name, value)
    with pytest.raises(StackUnavailable, match=r"AWS cannot be asked for the stack spillway-dev \("):
        find_stack("dev")


def test_a_pod_has_a_stack_of_its_own(session: StubbedSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """POD chooses the stack, as for the deploy; names of us1's stacks do not contain the pod."""
    assert stack_name("production") == stack_name("production", "us1") == "spillway-production"
    monkeypatch.setenv("POD", "eu1")
    session.stub.add_response("describe_stacks", FOUND, {"StackName": "spillway-eu1-dev"})
    assert find_stack("dev", session).output("QueueUrl") == QUEUE_URL


def test_an_unknown_pod_is_refused(session: StubbedSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown pod is refused, and the message lists the pods that exist."""
    monkeypatch.setenv("POD", "mars")
    with pytest.raises(InvalidSettings, match="POD=mars is no pod of mParticle's: it is one of us1, us2, eu1, au1"):
        find_stack("dev", session)


@pytest.mark.parametrize(
    ("env", "region"),
    [
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-2", "POD": "au1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "us-east-2", "POD": "au1"}, "us-east-2"),
        ({"POD": "au1"}, "ap-southeast-2"),
    ],
)
def test_a_stack_is_looked_for_where_it_was_deployed(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], region: str
) -> None:
    """The region is AWS_REGION, else AWS_DEFAULT_REGION, else the pod's, as in serverless.yml."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    asked: list[str | None] = []
    real = boto3.session.Session

    def session(region_name: str | None = None) -> boto3.session.Session:
        asked.append(region_name)
        return real(aws_access_key_id="test", aws_secret_access_key="test", region_name=region_name)

    monkeypatch.setattr(boto3.session, "Session", session)
    with pytest.raises(StackUnavailable):
        find_stack("dev")
    assert asked == [region]
