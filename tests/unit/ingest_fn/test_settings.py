import sys
import types

import pytest

from ingest_fn.settings import Settings
from shared.errors import InvalidSettings
from shared.sigv4 import Credentials
from shared.stored import Reference

ENV = {
    "QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/q",
    "STATE_TABLE": "state",
    "AWS_REGION": "eu-west-1",
}


def test_endpoint_is_the_host_of_the_queue() -> None:
    """Without an override SQS is called where the queue's URL says."""
    settings = Settings.from_env(ENV)
    assert settings.sqs_endpoint == "https://sqs.eu-west-1.amazonaws.com"
    assert settings.dynamodb_endpoint == "https://dynamodb.eu-west-1.amazonaws.com"


def test_endpoints_follow_the_partition() -> None:
    """In China AWS has another domain; the queue's URL tells."""
    env = {**ENV, "QUEUE_URL": "https://sqs.cn-north-1.amazonaws.com.cn/1/q", "AWS_REGION": "cn-north-1"}
    assert Settings.from_env(env).dynamodb_endpoint == "https://dynamodb.cn-north-1.amazonaws.com.cn"


def test_unknown_queue_type_is_named() -> None:
    """A queue is standard or FIFO."""
    assert Settings.from_env({**ENV, "QUEUE_TYPE": "fifo"}).fifo
    with pytest.raises(InvalidSettings, match="QUEUE_TYPE"):
        Settings.from_env({**ENV, "QUEUE_TYPE": "lifo"})


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"])
def test_endpoint_can_be_overridden(variable: str) -> None:
    """AWS's own endpoint variables are obeyed."""
    assert Settings.from_env({**ENV, variable: "http://127.0.0.1:4566"}).sqs_endpoint == "http://127.0.0.1:4566"


@pytest.mark.parametrize("missing", ["QUEUE_URL", "STATE_TABLE", "AWS_REGION"])
def test_missing_variable_is_named(missing: str) -> None:
    """The error names the variable that is missing."""
    with pytest.raises(InvalidSettings, match=missing):
        Settings.from_env({name: value for name, value in ENV.items() if name != missing})


def test_credentials_come_from_the_environment() -> None:
    """A Lambda's role stands in its environment."""
    env = {**ENV, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}
    assert Settings.from_env(env).credentials() == Credentials("a", "b", "c")


def test_credentials_fall_back_to_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment has none (SnapStart), botocore's chain finds and renews them."""
    renewed = iter(["one", "two"])

    class Found:
        def get_frozen_credentials(self) -> types.SimpleNamespace:
            return types.SimpleNamespace(access_key=next(renewed), secret_key="s", token=None)

    class Session:
        def get_credentials(self) -> Found:
            return Found()

    fake = types.SimpleNamespace(get_session=Session)
    monkeypatch.setitem(sys.modules, "botocore.session", fake)
    monkeypatch.setattr("botocore.session", fake, raising=False)
    credentials = Settings.from_env(ENV).credentials
    assert [credentials().access_key, credentials().access_key] == ["one", "two"]


@pytest.mark.parametrize(
    ("source", "service", "name", "endpoint"),
    [
        ("ssm:/spillway/token", "ssm", "/spillway/token", "https://ssm.eu-west-1.amazonaws.com"),
        (
            "secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:x",
            "secretsmanager",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x",
            "https://secretsmanager.eu-west-1.amazonaws.com",
        ),
    ],
)
def test_source_of_the_tokens(source: str, service: str, name: str, endpoint: str) -> None:
    """Where the tokens are kept, and the address that is asked for them."""
    settings = Settings.from_env({**ENV, "TOKEN_SOURCE": source})
    assert settings.token_store == Reference(service, name)
    assert settings.store_endpoints[service] == endpoint
    assert Settings.from_env(ENV).token_store is None


@pytest.mark.parametrize("source", ["canary-token-0123456789", "ssm:token", "secretsmanager:name", "vault:/x"])
def test_token_in_place_of_its_source_is_not_shown(source: str) -> None:
    """The mistake is named, and what was set is not repeated: it may be the token."""
    with pytest.raises(InvalidSettings, match="TOKEN_SOURCE") as raised:
        Settings.from_env({**ENV, "TOKEN_SOURCE": source})
    assert "canary" not in str(raised.value)
