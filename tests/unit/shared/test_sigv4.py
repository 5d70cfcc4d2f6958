from datetime import UTC, datetime, timedelta

import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from shared.sigv4 import Credentials, signed_headers

NOW = datetime(2026, 11, 23, 9, 5, 7, tzinfo=UTC)


@pytest.mark.parametrize("token", [None, "a/session+token=="])
def test_signature_is_what_botocore_makes(token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our signer and AWS's own give the same signature."""
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: NOW.replace(tzinfo=None))
    body = '{"MessageBody":"é"}'.encode()
    ours = signed_headers(
        Credentials("AKIDEXAMPLE", "secret/key", token),
        host="sqs.eu-central-1.amazonaws.com",
        region="eu-central-1",
        service="sqs",
        target="AmazonSQS.SendMessage",
        body=body,
        now=NOW,
    )
    unsigned = {name: ours[name] for name in ("content-type", "x-amz-target")}
    request = AWSRequest("POST", "https://sqs.eu-central-1.amazonaws.com/", data=body, headers=unsigned)
    SigV4Auth(BotoCredentials("AKIDEXAMPLE", "secret/key", token), "sqs", "eu-central-1").add_auth(request)
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
    assert ours["authorization"] == request.headers["Authorization"]


def test_each_call_is_signed_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What calls have in common is made once: another second, day, body, operation, host or role is another
    signature, and botocore's.
    """
    usual = {"role": ("AKID", "secret", "token"), "host": "a", "target": "t", "body": b"{}", "now": NOW}
    calls = [
        usual,
        usual | {"now": NOW + timedelta(seconds=1)},
        usual | {"now": NOW + timedelta(days=1)},
        usual | {"now": NOW.replace(year=2031, month=1, day=2, hour=0, minute=0, second=0)},
        usual | {"body": b"[]"},
        usual | {"target": "u"},
        usual | {"host": "b"},
        usual | {"role": ("AKID", "secret", "renewed")},
        usual | {"role": ("AKID", "renewed", "token")},
        usual | {"role": ("AKIE", "secret", "token")},
        usual | {"role": ("AKID", "secret", None)},
        usual,
    ]
    seen = set()
    for call in calls:
        now, role = call["now"], call["role"]
        monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, now=now, **__: now.replace(tzinfo=None))
        options = {name: call[name] for name in ("host", "target", "body", "now")}
        ours = signed_headers(Credentials(*role), region="eu-central-1", service="sqs", **options)
        unsigned = {name: ours[name] for name in ("content-type", "x-amz-target")}
        request = AWSRequest("POST", f"https://{call['host']}/", data=call["body"], headers=unsigned)
        SigV4Auth(BotoCredentials(*role), "sqs", "eu-central-1").add_auth(request)
        assert ours["authorization"] == request.headers["Authorization"]
        assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
        assert ours.get("x-amz-security-token") == request.headers["X-Amz-Security-Token"]
        seen.add(ours["authorization"])
    assert len(seen) == len(calls) - 1


def test_secrets_do_not_show() -> None:
    """Credentials print without their secrets."""
    shown = repr(Credentials("AKID", "canary-secret", "canary-token"))
    assert "canary" not in shown


@pytest.mark.parametrize(
    ("service", "prefix"),
    [
        ("sqs", "AmazonSQS"),
        ("dynamodb", "DynamoDB_20120810"),
        ("ssm", "AmazonSSM"),
        ("secretsmanager", "secretsmanager"),
    ],
)
def test_protocol_is_what_the_services_model_says(service: str, prefix: str) -> None:
    """The version of the JSON protocol and the operations' prefix are those of AWS's own description."""
    model = botocore.session.get_session().get_service_model(service).metadata
    headers = signed_headers(
        Credentials("AKID", "secret"), host="h", region="eu-west-1", service=service, target="t", body=b"{}", now=NOW
    )
    assert headers["content-type"] == f"application/x-amz-json-{model['jsonVersion']}"
    assert (model["targetPrefix"], model.get("signingName", service)) == (prefix, service)
