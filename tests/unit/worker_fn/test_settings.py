from pathlib import Path

import pytest
import yaml

from shared.errors import InvalidSettings
from worker_fn.settings import Settings

ROOT = Path(__file__).parents[3]


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
    """A bad number is refused by its variable's name, with the allowed range."""
    with pytest.raises(InvalidSettings, match=name):
        Settings.from_env({**ENV, name: value})


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"])
@pytest.mark.parametrize(
    "endpoint",
    ["dynamodb.eu-west-1.amazonaws.com", "https://a.example/path", "https://a.example?x=1", "https://", "https://a b"],
)
def test_an_endpoint_that_no_call_could_reach_is_named(variable: str, endpoint: str) -> None:
    """A bad endpoint is refused before a worker starts: otherwise it would run without the table and nobody would know
    why.
    """
    with pytest.raises(InvalidSettings, match=variable):
        Settings.from_env({**ENV, variable: endpoint})


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:4566", "https://a.example/", "https://vpce-1.a.example:443"])
def test_an_endpoint_is_used_as_it_is_told(endpoint: str) -> None:
    """The table's own endpoint variable goes before the general one."""
    assert Settings.from_env({**ENV, "AWS_ENDPOINT_URL": endpoint}).dynamodb_endpoint == endpoint
    other = {**ENV, "AWS_ENDPOINT_URL": "https://other.example", "AWS_ENDPOINT_URL_DYNAMODB": endpoint}
    assert Settings.from_env(other).dynamodb_endpoint == endpoint


@pytest.mark.parametrize(
    ("chosen", "needed_s"),
    [
        ({}, 25),
        ({"READ_TIMEOUT_S": "60"}, 75),
        ({"SETTLE_RESERVE_S": "4", "READ_TIMEOUT_S": "1", "CONNECT_TIMEOUT_S": "1"}, 10),
        ({"SETTLE_RESERVE_S": "60", "READ_TIMEOUT_S": "300", "CONNECT_TIMEOUT_S": "60"}, 424),
    ],
)
def test_times_that_do_not_fit_into_an_invocation_are_refused(chosen: dict[str, str], needed_s: int) -> None:
    """Times that leave no room for a whole call or a probe are refused at the start, with values that would work."""
    env = {**ENV, "VISIBILITY_S": "43200", **chosen}
    with pytest.raises(InvalidSettings, match=rf"^WORKER_TIMEOUT_S is \d+ and must be at least {needed_s}: "):
        Settings.from_env({**env, "WORKER_TIMEOUT_S": str(needed_s - 1)})
    assert Settings.from_env({**env, "WORKER_TIMEOUT_S": str(needed_s)}).worker_timeout_s == needed_s


def test_a_message_does_not_come_back_while_it_is_worked_on() -> None:
    """A visibility time-out under the function's is refused."""
    with pytest.raises(InvalidSettings, match="VISIBILITY_S"):
        Settings.from_env({**ENV, "VISIBILITY_S": "59"})


def test_the_deployed_numbers_are_those_that_the_worker_checks() -> None:
    """serverless.yml gives the worker the function's and the queue's time-outs, and those of each stage work."""
    loader = type("Tags", (yaml.SafeLoader,), {})
    loader.add_multi_constructor("!", lambda *_: None)
    deployed = yaml.load((ROOT / "serverless.yml").read_text(encoding="utf-8"), Loader=loader)
    worker = deployed["functions"]["worker"]
    assert worker["environment"]["WORKER_TIMEOUT_S"] == worker["timeout"] == "${param:workerTimeoutS}"
    assert worker["environment"]["VISIBILITY_S"] == "${param:visibilityS}"
    for stage in deployed["params"]:
        numbers = {**deployed["params"]["default"], **(deployed["params"][stage] or {})}
        env = {"WORKER_TIMEOUT_S": str(numbers["workerTimeoutS"]), "VISIBILITY_S": str(numbers["visibilityS"])}
        assert Settings.from_env({**ENV, **env})


def test_empty_variable_means_the_default() -> None:
    """An empty variable means the default, because deploy tools write empty variables."""
    assert Settings.from_env({**ENV, "SETTLE_RESERVE_S": ""}).settle_reserve_s == 8


def test_fingerprints_are_made_with_the_stack_s_id() -> None:
    """Fingerprints depend on the stack's id; without a stack the queue's URL takes its place."""
    assert Settings.from_env({**ENV, "STACK_ID": "arn:of:a/stack"}).fingerprint_key == b"arn:of:a/stack"
    assert Settings.from_env(ENV).fingerprint_key == ENV["QUEUE_URL"].encode()
    assert "arn:of" not in repr(Settings.from_env({**ENV, "STACK_ID": "arn:of:a/stack"}))


@pytest.mark.parametrize(("said", "tells"), [("", False), ("on", False), ("off", False), ("ids", True)])
def test_ids_are_told_where_they_are_asked_for(said: str, tells: bool) -> None:
    """LOG_EVENTS accepts three values and refuses any other."""
    assert Settings.from_env({**ENV, "LOG_EVENTS": said}).tells_ids is tells
    with pytest.raises(InvalidSettings, match="LOG_EVENTS"):
        Settings.from_env({**ENV, "LOG_EVENTS": "IDS"})


def test_no_account_is_measured_by_itself_unless_it_is_named() -> None:
    """By default no account is measured; ids are separated by commas, each counts once, and blanks do not matter."""
    assert not Settings.from_env(ENV).measured_accounts
    assert Settings.from_env({**ENV, "METRICS_ACCOUNTS": " 7, 12345 ,7,"}).measured_accounts == {"7", "12345"}


@pytest.mark.parametrize("bad", ["7;8", "7 8", ",".join(map(str, range(21))), "caf\u00e9", "7\n8", "x" * 65])
def test_accounts_that_cannot_be_measured_are_refused(bad: str) -> None:
    """Before a deploy a text that is no account id, and more than the allowed number, are refused by the variable's
    name.
    """
    with pytest.raises(InvalidSettings, match="METRICS_ACCOUNTS"):
        Settings.from_env({**ENV, "METRICS_ACCOUNTS": bad})
