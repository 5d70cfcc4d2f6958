"""What `spillway sample` prints is what mParticle could have sent."""

import json

import pytest
from typer.testing import CliRunner, Result

from ops.cli import app
from ops.commands.sample import ENVIRONMENTS as NAMED_ENVIRONMENTS
from ops.commands.sample import KINDS as NAMED_KINDS
from shared.firehose import EventProcessingRequest, parse_request
from testkit.requests import ENVIRONMENTS, KINDS


def sample(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["sample", *arguments])


def test_help_names_every_type_and_environment() -> None:
    """The command's words are written down, so that help need not load what makes requests."""
    assert NAMED_KINDS.split(", ") == list(KINDS)
    assert NAMED_ENVIRONMENTS.split(", ") == list(ENVIRONMENTS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_prints_one_valid_request(kind: str) -> None:
    """One JSON document, without a part that cannot be read; the same seed prints the same."""
    done = sample(kind, "--seed", "5")
    assert done.exit_code == 0, done.output
    request = parse_request(done.stdout)
    assert request.type == kind
    assert request.malformed == ()
    assert sample(kind, "--seed", "5").stdout == done.stdout
    assert sample(kind, "--seed", "6").stdout != done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_many_are_printed_a_line_each(kind: str) -> None:
    """--count prints NDJSON, of successive seeds."""
    lines = sample(kind, "--count", "20", "--seed", "3").stdout.splitlines()
    requests = [parse_request(line) for line in lines]
    assert len({request.id for request in requests}) == 20
    assert all(request.malformed == () for request in requests)
    assert json.loads(lines[2]) == json.loads(sample(kind, "--seed", "5").stdout)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_request_is_as_asked_for(environment: str) -> None:
    """Environment, number of events, account and settings are as the options say."""
    done = sample(
        "event_processing_request", "--environment", environment, "--events", "3", "--account-id", "42",
        "--setting", "apiKey=a=b", "--setting", "region=eu",
    )  # fmt: skip
    request = parse_request(done.stdout)
    assert isinstance(request, EventProcessingRequest)
    assert request.runtime_environment is not None
    assert request.account is not None
    assert str(request.runtime_environment.type) == environment
    assert len(request.events) == 3
    assert request.account.account_id == 42
    assert {"apiKey": "a=b", "region": "eu"}.items() <= request.account.account_settings.items()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("events",), "TYPE must be one of"),
        (("event_processing_request", "--environment", "toaster"), "--environment must be one of"),
        (("dsr_processing_request", "--events", "3"), "--events is for event_processing_request"),
        (("dsr_processing_request", "--environment", "ios"), "--environment is for event_processing_request"),
        (("module_registration_request", "--account-id", "3"), "has no account"),
        (("event_processing_request", "--setting", "canary"), "--setting number 1 must be NAME=VALUE"),
    ],
)
def test_an_option_without_a_place_is_refused(arguments: tuple[str, ...], said: str) -> None:
    """One line that names it, status 2, nothing on standard output, and no value quoted."""
    done = sample(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert "canary" not in done.stderr
