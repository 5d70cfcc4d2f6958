"""A deployed stack as mParticle and an operator reach it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.local.aws import ROOT, LocalAws
from ops.local.partner_api import LoopbackPartner

MPARTICLE_ACCOUNT = "338661164609"
T_MS = 1_700_000_000_000
LONGEST_PAUSE_S = 3.0
"""Between two looks for what must come."""


@dataclass(frozen=True)
class Operated:
    """A stack, its partner, and an operator's shell in a folder of its own. No output may contain the content of a
    request.
    """

    aws: LocalAws
    api: LoopbackPartner
    url: str
    """The partner's."""
    outputs: dict[str, str]
    folder: Path
    keys: Mapping[str, str] = field(default_factory=dict)
    """The operator's, where the AWS enforces IAM for them; else those of whoever deployed."""

    def invoke(self, request: dict[str, Any]) -> bool:
        """Send a request as mParticle does; returns whether it was accepted."""
        lambdas = self.aws.client("lambda", account_id=MPARTICLE_ACCOUNT)
        answer = lambdas.invoke(FunctionName=self.outputs["IngestAliasArn"], Payload=json.dumps(request))
        return "FunctionError" not in answer

    def send(self, *event_ids: str, account: int, key: str = "old", request_id: str = "") -> None:
        """Send a request of a customer, with the customer's present key."""
        request = {
            "type": "event_processing_request",
            "id": request_id or f"request-{event_ids[0]}",
            "timestamp_ms": T_MS,
            "account": {"account_id": account, "account_settings": {"apiKey": key, "other": "CANARY-setting"}},
            "user_identities": [{"type": "email", "value": "CANARY@example.com"}],
            "events": [{"type": "custom_event", "id": one, "timestamp_ms": T_MS} for one in event_ids],
        }
        assert self.invoke(request)

    def shell(self, *arguments: str) -> dict[str, Any]:
        """The arguments with which subprocess runs `spillway` in the operator's shell."""
        env = {**self.aws.env(), **self.keys, "STAGE": "local", "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
        command = [sys.executable, "-m", "ops.cli", *arguments]
        return {"args": command, "cwd": self.folder, "env": env, "stdin": subprocess.DEVNULL, "text": True}

    def spillway(self, *arguments: str, status: int | None = 0, typed: str | None = None) -> str:
        """Type a command and the text that it asks for; returns all output. The exit status must be `status`; with
        None, the command must only have run, whatever it found.
        """
        asked: dict[str, Any] = {} if typed is None else {"stdin": None, "input": f"{typed}\n"}
        shell = {**self.shell(*arguments), **asked}
        done = subprocess.run(**shell, capture_output=True, check=False, timeout=240)
        said = f"{done.stdout}{done.stderr}"
        assert done.returncode in ({0, 1} if status is None else {status}), (arguments, said)
        assert "CANARY" not in said
        assert "Traceback" not in said
        return said

    def letters(self) -> int:
        return int(json.loads(self.spillway("dlq", "summary", "--json"))["letters"])

    def arrived(self) -> set[str]:
        return set(self.api.ledger.arrivals)


def operator_keys(aws: LocalAws, user: str) -> dict[str, str]:
    """Make a user with the permissions of infra/operator-policy.json; returns the variables of a shell with the user's
    keys.
    """
    policy = (ROOT / "infra/operator-policy.json").read_text().replace("ACCOUNT_ID", aws.account_id)
    iam = aws.client("iam")
    iam.create_user(UserName=user)
    iam.put_user_policy(UserName=user, PolicyName="operator", PolicyDocument=policy)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def until(get: Callable[[], Any], timeout_s: float = 60) -> Any:
    """Poll until `look` returns something, and return it; fails with the last thing seen. The pause grows with the time
    that a look takes, because a command takes half a second of a processor.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        began = time.monotonic()
        if found := get():
            return found
        ended = time.monotonic()
        assert ended < deadline, f"not within {timeout_s:.0f} s; last: {found!r}"
        time.sleep(min(max(0.1, 2 * (ended - began)), LONGEST_PAUSE_S))
