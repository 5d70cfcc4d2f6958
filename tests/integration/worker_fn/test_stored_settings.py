"""Settings of a partner that are kept in SSM or Secrets Manager, read as the worker reads them."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

import worker_fn.handler as entry
from partners.webhook import Webhook
from shared.errors import InvalidSettings
from shared.stored import Reference, Unreadable
from worker_fn.batch.context import no_need
from worker_fn.settings import Settings
from worker_fn.wiring import read_stored

HEADERS = '{"X-Gateway": "canary"}'


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


@pytest.mark.usefixtures("aws")
def test_a_parameter_and_a_secret_are_read() -> None:
    """A parameter and a secret are read; a SecureString is decrypted."""
    boto3.client("ssm").put_parameter(Name="/acme/headers", Value=HEADERS, Type="SecureString")
    arn = boto3.client("secretsmanager").create_secret(Name="acme/headers", SecretString=HEADERS)["ARN"]
    assert read_stored(Reference("ssm", "/acme/headers")) == HEADERS
    assert read_stored(Reference("secretsmanager", arn)) == HEADERS


@pytest.mark.usefixtures("aws")
def test_what_is_not_there_is_named_by_the_store() -> None:
    """The error has the store's own name for it, and a secret of bytes counts as no text."""
    with pytest.raises(Unreadable, match="ParameterNotFound"):
        read_stored(Reference("ssm", "/acme/headers"))
    arn = boto3.client("secretsmanager").create_secret(Name="bytes", SecretBinary=b"x")["ARN"]
    with pytest.raises(Unreadable, match="no text"):
        read_stored(Reference("secretsmanager", arn))


@pytest.mark.usefixtures("aws")
def test_the_worker_sends_what_is_kept_and_learns_of_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is built once from the stored text, and again when the text has changed; while the text cannot be read,
    none is built.
    """
    env = {
        "QUEUE_URL": "https://sqs/1/q",
        "DLQ_URL": "https://sqs/1/d",
        "PARKING_QUEUE_URL": "https://sqs/1/p",
        "STATE_TABLE": "state",
        "WEBHOOK_URL": "https://partner.example/",
        "WEBHOOK_SECRET_HEADERS": "ssm:/acme/headers",
    }
    made: list[Any] = []

    def build(settings: Settings, stored: Any) -> Any:
        made.append(Webhook.from_env({**settings.env, **dict(stored)}).secret_headers)
        return SimpleNamespace(close=no_need)

    monkeypatch.setattr(entry, "build", build)
    monkeypatch.setattr(entry, "_settings", lambda: Settings.from_env(env))
    entry._stored.cache_clear()
    entry._worker.cache_clear()
    try:
        with pytest.raises(InvalidSettings, match=r"WEBHOOK_SECRET_HEADERS.*ParameterNotFound"):
            entry._worker(entry._stored().texts())
        ssm = boto3.client("ssm")
        ssm.put_parameter(Name="/acme/headers", Value=HEADERS, Type="SecureString")
        first = entry._worker(entry._stored().texts())
        assert entry._worker(entry._stored().texts()) is first
        ssm.put_parameter(Name="/acme/headers", Value='{"X-Gateway": "new"}', Type="SecureString", Overwrite=True)
        entry._stored().clock = lambda: 1e12
        assert entry._worker(entry._stored().texts()) is not first
        assert [headers["X-Gateway"].value for headers in made] == ["canary", "new"]
    finally:
        entry._stored.cache_clear()
        entry._worker.cache_clear()
