"""Safety for every test: no AWS account, no proxy and no credentials of the machine's owner is ever reached."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.side_by_side import (  # noqa: F401 - hooks
    pytest_collection_modifyitems,
    pytest_report_to_serializable,
    pytest_runtest_setup,
    pytest_xdist_make_scheduler,
)

ROOT = Path(__file__).parent.parent

settings.register_profile("spillway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("spillway")

_AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",  # not a secret: no account has it
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@pytest.fixture(autouse=True)
def no_real_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see credentials that open nothing."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in _AWS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STAGE_FILE", "")  # nor is the file of a stage that lies in this checkout


@pytest.fixture(autouse=True)
def no_sockets_in_unit_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit or property test that opens a connection fails."""
    folder = request.path.relative_to(ROOT / "tests").parts[0]
    if folder in {"unit", "property"}:

        def refuse(*args: object, **kwargs: object) -> None:
            raise AssertionError("a unit test opened a socket; use a fake, or move the test to tests/integration")

        monkeypatch.setattr(socket.socket, "connect", refuse)
