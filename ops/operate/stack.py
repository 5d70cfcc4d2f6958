"""A deployed stack, as the commands find it: by stage, with the outputs that infra/outputs.yml names.

AWS is reached as boto3 reaches it: AWS_PROFILE, AWS_REGION and so on, and AWS_ENDPOINT_URL for an embedded AWS. These
variables count as set if the stage's file sets them (infra/stage.py).
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.stage import DEFAULT_POD, PODS, SERVICE
from ops.operate.stage import enter_stage
from shared.errors import InvalidSettings, SpillwayError
from shared.state import DynamoState

__all__ = [
    "DEFAULT_POD",
    "PODS",
    "SERVICE",
    "Stack",
    "StackUnavailable",
    "enter_stage",
    "error_name",
    "find_stack",
    "pod_named",
    "refusal_as",
    "region_of",
    "stack_name",
]

CLIENT_CONFIG = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 3})


class StackUnavailable(SpillwayError):
    """There is no such stack, or AWS cannot be asked for it; the text says what to run or to set."""


@dataclass(frozen=True, slots=True)
class Stack:
    """`outputs` are the stack's, by their keys: QueueUrl, StateTableName, IngestAliasArn and so on."""

    stage: str
    region: str
    outputs: Mapping[str, str]
    session: Any = field(repr=False)
    status: str = "CREATE_COMPLETE"
    """The stack's status, as CloudFormation names it."""
    name: str = ""
    """The stack's name, with which the names of all its resources begin."""
    changed_ms: int | None = None
    """When it was last deployed."""

    def client(self, service: str, **config: Any) -> Any:
        """Return a boto3 client for the stack's account and region."""
        return self.session.client(service, config=CLIENT_CONFIG.merge(Config(**config)))

    def state(self, **config: Any) -> DynamoState:
        """Return the stack's state table. Raises StackUnavailable as `output` does."""
        return DynamoState(self.client("dynamodb", **config), self.output("StateTableName"))

    def output(self, key: str) -> str:
        """Return one output. Raises StackUnavailable if the stack was deployed by a version that had none."""
        if key not in self.outputs:
            raise StackUnavailable(f"the stack {SERVICE}-{self.stage} has no output {key}: deploy it again")
        return self.outputs[key]


def error_name(error: Exception) -> str:
    """AWS's own name of an error (`AccessDenied`), or the kind of the error that prevented the call; never its text."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


@contextmanager
def refusal_as(sentence: str) -> Iterator[None]:
    """Turn what AWS refuses in the block into StackUnavailable; `{}` in the sentence becomes the error's name."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StackUnavailable(sentence.format(error_name(error))) from None


def pod_named(name: str) -> dict[str, str]:
    """Return a pod's `suffix`, `region` and `accounts`. Raises InvalidSettings if there is no such pod."""
    pods: dict[str, dict[str, str]] = json.loads(PODS.read_text())
    if name not in pods:
        raise InvalidSettings(f"POD={name} is no pod of mParticle's: it is one of {', '.join(pods)}")
    return pods[name]


def stack_name(stage: str, pod: str = DEFAULT_POD) -> str:
    """Return what CloudFormation calls the stack of a stage and a pod."""
    return f"{SERVICE}{pod_named(pod)['suffix']}-{stage}"


def region_of(pod: str) -> str | None:
    """Return the region as the deploy chooses it, or None: the profile's. boto3 itself does not read AWS_REGION."""
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named or (pod_named(pod)["region"] if "POD" in os.environ else None)


def find_stack(stage: str, session: Any = None) -> Stack:
    """Enter a stage and find its stack, of the pod that POD names. Raises StackUnavailable, InvalidSettings."""
    enter_stage(stage)
    pod = os.environ.get("POD", DEFAULT_POD)
    name = stack_name(stage, pod)
    try:
        session = session or boto3.session.Session(region_name=region_of(pod))
        if not session.region_name:
            raise InvalidSettings("AWS_REGION is not set, nor does the profile name a region: set AWS_REGION")
        answer = session.client("cloudformation", config=CLIENT_CONFIG).describe_stacks(StackName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            raise StackUnavailable(
                f"there is no stack {name} in {_place(session)}: make deploy STAGE={stage}, or choose another --stage,"
                " POD, AWS_REGION or AWS_PROFILE"
            ) from None
        raise StackUnavailable(
            f"AWS refuses to describe the stack {name} ({error.response['Error']['Code']})"
        ) from None
    except (BotoCoreError, ValueError) as error:  # the latter for an endpoint that is no URL
        raise StackUnavailable(f"AWS cannot be asked for the stack {name} ({type(error).__name__}: {error})") from None
    (described,) = answer["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", [])}
    moment = described.get("LastUpdatedTime") or described.get("CreationTime")
    changed_ms = int(moment.timestamp() * 1_000) if isinstance(moment, datetime) else None
    return Stack(stage, session.region_name, outputs, session, described["StackStatus"], name, changed_ms)


def _place(session: Any) -> str:
    """Name region, account and profile, so that a reader sees where the command looked."""
    try:
        account = f"account {session.client('sts', config=CLIENT_CONFIG).get_caller_identity()['Account']}"
    except (BotoCoreError, ClientError):
        account = "an account that AWS does not name"
    profile = f", profile {session.profile_name}" if os.environ.get("AWS_PROFILE") else ""
    return f"{session.region_name}, {account}{profile}"
