import pytest

from shared.errors import InvalidSettings
from worker_fn.settings import Settings
from worker_fn.setup import build

ENV = {
    "QUEUE_URL": "https://sqs/1/q",
    "DLQ_URL": "https://sqs/1/d",
    "PARKING_QUEUE_URL": "https://sqs/1/p",
    "STATE_TABLE": "state",
}


def test_defaults_need_only_the_queues() -> None:
    """A deployment that names its queues runs with sensible numbers."""
    settings = Settings.from_env(ENV)
    assert (settings.max_in_flight, settings.attempts) == (10, 3)
    assert settings.settle_reserve_s > 0


@pytest.mark.parametrize("missing", list(ENV))
def test_missing_queue_is_named(missing: str) -> None:
    """The error names the variable that is missing."""
    with pytest.raises(InvalidSettings, match=missing):
        Settings.from_env({name: value for name, value in ENV.items() if name != missing})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_IN_FLIGHT", "0"),
        ("MAX_IN_FLIGHT", "ten"),
        ("MAX_IN_FLIGHT", "1.5"),
        ("MAX_IN_FLIGHT", "nan"),
        ("ATTEMPTS", "11"),
        ("ATTEMPTS", "\uff13"),
        ("ATTEMPTS", "1_0"),
        ("ATTEMPTS", "1e0"),
        ("MAX_AGE_S", "1e400"),
        ("MAX_AGE_S", "59"),
        ("ERASURE_MAX_AGE_S", "-inf"),
        ("MAX_STRIKES", "0"),
        ("MAX_CONCURRENCY", "1"),
        ("SETTLE_RESERVE_S", "0"),
        ("QUEUE_URL", "https://"),
        ("DLQ_URL", "https://sqs/1/q\n"),
        ("QUEUE_TYPE", "FIFO"),
        ("READ_TIMEOUT_S", "-1"),
        ("CONNECT_TIMEOUT_S", "inf"),
        ("MAX_AGE_S", "1166401"),
        ("ERASURE_MAX_AGE_S", "1209600"),
    ],
)
def test_bad_number_is_named(name: str, value: str) -> None:
    """A number that makes no sense is named, with what it may be."""
    with pytest.raises(InvalidSettings, match=name):
        Settings.from_env({**ENV, name: value})


def test_empty_variable_means_the_default() -> None:
    """Deploy tools write empty variables where nothing was chosen."""
    assert Settings.from_env({**ENV, "SETTLE_RESERVE_S": ""}).settle_reserve_s == 8


def test_a_worker_begins_without_asking_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cold start while SQS is slow costs no batch: nothing is asked that the settings do not say."""

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("AWS was asked")

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", asked)
    env = {**ENV, "PARTNER": "partners.webhook", "WEBHOOK_URL": "https://partner.example"}
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert build(Settings.from_env(env)).partner.name == "webhook"


def test_fingerprints_are_made_with_the_stack_s_id() -> None:
    """Another stack's are others; where nothing was deployed as a stack its queue stands in."""
    assert Settings.from_env({**ENV, "STACK_ID": "arn:of:a/stack"}).fingerprint_key == b"arn:of:a/stack"
    assert Settings.from_env(ENV).fingerprint_key == ENV["QUEUE_URL"].encode()
    assert "arn:of" not in repr(Settings.from_env({**ENV, "STACK_ID": "arn:of:a/stack"}))
