"""mParticle's HTTP integration on a real deploy that enforces roles: the URL is called, events arrive; and receipts."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from ops.certify.exchange import Sent
from ops.certify.targets import target_of
from ops.local.aws import ROOT, LocalAws, local_aws
from ops.local.partner_api import Behaviour, LoopbackPartner, serve
from testkit.requests import make_request
from tests.e2e.operated import MPARTICLE_ACCOUNT, until

STRANGER_ACCOUNT = "999999999999"
OLD, NEW = "old-token-0123456789abcdef", "new-token-0123456789abcdef"
EVENTS = "event_processing_request"


@dataclass(frozen=True)
class Deployed:
    """A stack with a Function URL, its AWS, and the partner behind it."""

    aws: LocalAws
    api: LoopbackPartner
    outputs: dict[str, str]

    def post(self, body: bytes, token: str | None, path: str = "/") -> tuple[int, dict[str, Any]]:
        """Call the URL as mParticle does, at the embedded AWS's address, with the URL's host name in the header."""
        headers = {"Content-Type": "application/json", "Host": str(urlsplit(self.outputs["IngestUrl"]).hostname)}
        if token is not None:
            headers["Authorization"] = f"Token {token}"
        request = urllib.request.Request(self.aws.endpoint_url + path, data=body, headers=headers, method="POST")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def set_tokens(self, *tokens: str) -> None:
        self.aws.client("ssm").put_parameter(
            Name="/spillway/token", Value=" ".join(tokens), Type="SecureString", Overwrite=True
        )

    def spillway(self, *arguments: str) -> tuple[int, str]:
        """Run the command as a person would."""
        done = subprocess.run(
            [sys.executable, "-m", "ops.cli", *arguments, "--stage", "local"],
            cwd=ROOT, env={**os.environ, **self.aws.env()}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode in {0, 1}, done.stderr
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    api = LoopbackPartner(Behaviour())
    with serve(api) as url, local_aws(enforce_iam=True) as aws:
        aws.client("ssm").put_parameter(Name="/spillway/token", Value=OLD, Type="SecureString")
        env = {"WEBHOOK_URL": url, "TOKEN_SOURCE": "ssm:/spillway/token"}
        yield Deployed(aws, api, aws.deploy(env=env))


def test_events_that_come_by_the_url_arrive_at_the_partner(deployed: Deployed) -> None:
    """With its role ingest can read the token; a request with that token is accepted, and each event arrives once."""
    request = make_request(EVENTS, seed=5, events=5, account_id=7)
    status, answer = deployed.post(json.dumps(request).encode(), OLD)
    assert (status, answer["type"], answer["id"]) == (202, "event_processing_response", request["id"])
    ids = {event["id"] for event in request["events"]}
    until(lambda: ids <= set(deployed.api.ledger.arrivals))
    assert [len(deployed.api.ledger.arrivals[event_id]) for event_id in ids] == [1] * 5


def test_who_has_no_token_gets_the_registration_alone(deployed: Deployed) -> None:
    """Without a token mParticle gets the registration; all other requests are refused, and other paths do not exist."""
    status, answer = deployed.post(b'{"type":"module_registration_request","id":"r"}', None)
    assert (status, answer["type"]) == (200, "module_registration_response")
    for token in (None, "wrong-token-0123456789abcdef"):
        assert deployed.post(json.dumps(make_request(EVENTS, seed=6)).encode(), token)[0] == 401
    assert deployed.post(b"{}", OLD, "/admin")[0] == 404
    assert deployed.post(b'{"type":"event_processing_request","events":{}}', OLD)[0] == 400


def test_the_address_that_is_printed_here_can_be_called(deployed: Deployed) -> None:
    """No host name leads to a Function URL of the embedded AWS, so the deploy prints an address that can be called."""
    said = deployed.aws.serverless("info", env={"TOKEN_SOURCE": "ssm:/spillway/token"})
    printed = re.search(r"for HTTP: (http://127\.0\.0\.1:\d+/_aws/lambda-url/\w+/)", said)
    assert printed, said
    target = target_of(printed[1], token=OLD)
    answer = target.send(Sent.of("registration", {"type": "module_registration_request", "id": "r"}))
    assert (answer.status, json.loads(answer.payload)["type"]) == (200, "module_registration_response")


def test_a_token_is_changed_while_mparticle_sends(deployed: Deployed) -> None:
    """While the parameter has the old and the new token, both are accepted, the new one from the next read of the store
    on.
    """
    probe = b'{"type":"event_processing_request","id":"r","events":[]}'
    assert deployed.post(probe, OLD)[0] == 202
    deployed.set_tokens(NEW, OLD)
    until(lambda: deployed.post(probe, NEW)[0] == 202)
    assert deployed.post(probe, OLD)[0] == 202


def test_the_url_opens_nothing_else(deployed: Deployed) -> None:
    """Only the URL is public: a stranger cannot invoke the alias, and mParticle still can."""
    probe = json.dumps({"type": "audience_membership_change_request"})
    stranger = deployed.aws.client("lambda", account_id=STRANGER_ACCOUNT)
    with pytest.raises(ClientError) as refused:
        stranger.invoke(FunctionName=deployed.outputs["IngestAliasArn"], Payload=probe)
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    mparticle = deployed.aws.client("lambda", account_id=MPARTICLE_ACCOUNT)
    assert "FunctionError" not in mparticle.invoke(FunctionName=deployed.outputs["IngestAliasArn"], Payload=probe)


def test_an_erasure_is_accounted_for(deployed: Deployed) -> None:
    """Ingest's role lets it write the receipt while the queue is paused, and the worker's role lets it complete the
    receipt.
    """
    mapping = {"UUID": deployed.outputs["WorkerMappingId"]}
    lambda_ = deployed.aws.client("lambda")
    lambda_.update_event_source_mapping(**mapping, Enabled=False)
    until(lambda: lambda_.get_event_source_mapping(**mapping)["State"] == "Disabled")
    request = make_request("dsr_processing_request", seed=7, account_id=7)
    subject = request["subject_request_id"]
    assert deployed.spillway("dsr", "status", subject)[0] == 1
    assert deployed.post(json.dumps(request).encode(), OLD)[0] == 202
    code, said = deployed.spillway("dsr", "status", subject, "--json")
    (receipt,) = json.loads(said)["receipts"]
    assert (code, receipt["standing"], receipt["request_id"]) == (1, "open", request["id"])
    lambda_.update_event_source_mapping(**mapping, Enabled=True)
    until(lambda: deployed.spillway("dsr", "status", subject)[0] == 0)
    assert subject in deployed.spillway("dsr", "list")[1]
    assert json.loads(deployed.spillway("dsr", "list", "--open", "--json")[1])["receipts"] == []
