"""A function invoked by ARN through boto3, against an Invoke API that answers by script."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.certify.exchange import Ending, Sent
from ops.certify.targets import LambdaTarget, TargetUnavailable
from ops.cli import app

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:ingest:production"
REQUEST = Sent.of("a request", {"type": "event_processing_request"})


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Callable[..., LambdaTarget]:
    def at(url: str, **settings: Any) -> LambdaTarget:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        return LambdaTarget(ARN, **settings)

    return at


@pytest.mark.parametrize(
    ("reply", "ending"),
    [
        ((200, {}, b'{"type":"x"}'), Ending.ANSWERED),
        ((200, {"X-Amz-Function-Error": "Unhandled"}, b'{"errorType":"KeyError"}'), Ending.FUNCTION_ERROR),
        (
            (
                200,
                {"X-Amz-Function-Error": "Unhandled"},
                b'{"errorMessage":"2026 x Task timed out after 6.00 seconds"}',
            ),
            Ending.TIMED_OUT,
        ),
        ((429, {"X-Amzn-ErrorType": "TooManyRequestsException"}, b"{}"), Ending.THROTTLED),
        ((413, {"X-Amzn-ErrorType": "RequestTooLargeException"}, b"{}"), Ending.REFUSED),
        ((500, {"X-Amzn-ErrorType": "ServiceException"}, b"{}"), Ending.REFUSED),
        ((0, {}, b""), Ending.NO_ANSWER),
    ],
)
def test_an_invocation_is_taken_as_it_is(
    serving: Any, target: Callable[..., LambdaTarget], reply: tuple[int, dict[str, str], bytes], ending: Ending
) -> None:
    """Each invocation is tried once, as mParticle does: boto3's own retries are off."""
    asked: list[bytes] = []
    with serving(lambda _method, _authorization, body: asked.append(body) or reply) as url:
        got = target(url).send(REQUEST)
    assert (got.ending, got.status) == (ending, reply[0])
    assert asked == [REQUEST.body]


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "ResourceNotFoundException", "there is no such function or alias"),
        (403, "AccessDeniedException", "lambda:InvokeFunction"),
        (403, "ExpiredTokenException", "expired"),
    ],
)
def test_what_may_not_be_invoked_ends_the_run(
    serving: Any, monkeypatch: pytest.MonkeyPatch, status: int, code: str, said: str
) -> None:
    """Without permission to invoke, the command ends with status 2 and one line that says why."""
    with serving(lambda *_: (status, {"X-Amzn-ErrorType": code}, b"{}")) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        done = CliRunner().invoke(app, ["certify", ARN])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert said in line


def test_an_aws_that_is_not_there_ends_the_run(target: Callable[..., LambdaTarget]) -> None:
    """If AWS does not answer, the line names the address that was tried."""
    with pytest.raises(TargetUnavailable, match=r"127\.0\.0\.1:9"):
        target("http://127.0.0.1:9").send(REQUEST)


def test_no_credentials_end_the_run(target: Callable[..., LambdaTarget], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials the command ends with botocore's message."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(TargetUnavailable, match="credentials"):
        target("http://127.0.0.1:9").send(REQUEST)


def test_what_takes_too_long_is_timed_out(serving: Any, target: Callable[..., LambdaTarget], integration: Any) -> None:
    """An invocation whose answer never comes times out."""
    waiting = integration.threading.Event()

    def answer(*_: object) -> tuple[int, dict[str, str], bytes]:
        waiting.wait(30)
        return 0, {}, b""

    with serving(answer) as url:
        got = target(url, timeout_s=0.2).send(REQUEST)
        waiting.set()
    assert got.ending is Ending.TIMED_OUT


def test_the_alias_is_invoked_in_its_region(serving: Any, integration: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is signed for the ARN's region, whatever AWS_REGION says."""
    signed = []
    good = integration.Integration()

    def answer(_method: str, authorization: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        signed.append(authorization)
        return 200, {}, json.dumps(good.answer(json.loads(body))).encode()

    with serving(answer) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        done = CliRunner().invoke(app, ["certify", ARN, "--only", "probes", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["passed"]) == (0, True)
    assert all("/eu-central-1/lambda/aws4_request" in one for one in signed)
