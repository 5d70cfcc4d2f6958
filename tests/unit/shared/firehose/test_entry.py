"""The public entry: what it names is there, whether it is imported at once or when it is asked for."""

import importlib
import subprocess
import sys

import pytest

from shared import firehose


@pytest.mark.parametrize("name", firehose.__all__)
def test_every_name_is_there(name: str) -> None:
    """A name that stands in `__all__` is found, the same one each time."""
    assert getattr(firehose, name) is getattr(firehose, name)


def test_a_name_that_is_none_is_refused() -> None:
    """A slip of the pen is an AttributeError, and an ImportError where it is imported."""
    with pytest.raises(AttributeError, match="no attribute 'Evnt'"):
        firehose.Evnt  # noqa: B018
    with pytest.raises(ImportError):
        exec("from shared.firehose import Evnt")


@pytest.mark.parametrize(
    ("name", "module", "not_loaded"),
    [
        ("CustomEvent", "events", {"registration"}),
        ("IosEnvironment", "environments", {"events", "registration"}),
        ("GdprConsentStateNotification", "notifications", {"registration"}),
        ("Registration", "registration", set()),
    ],
)
def test_a_model_is_imported_when_it_is_asked_for(name: str, module: str, not_loaded: set[str]) -> None:
    """Who needs one model does not pay for all."""
    code = (
        "import sys; from shared import firehose\n"
        f"print('shared.firehose.{module}' in sys.modules)\n"
        f"print(firehose.{name}.__module__)\n"
        f"print({{f'shared.firehose.{{one}}' for one in {not_loaded!r}}} & sys.modules.keys())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["False", f"shared.firehose.{module}", "set()"]


def test_a_fault_is_named_alike_whatever_was_imported_before() -> None:
    """A field of a module that nothing has asked for is a field, and no key of the sender's."""
    request = {"type": "event_processing_request", "consent_state": {"gdpr_consent_state": {"ads": {"consented": []}}}}
    code = (
        f"from shared.firehose import parse_request; print([one.where for one in parse_request({request!r}).malformed])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for module in ("environments", "events", "notifications", "registration"):
        importlib.import_module(f"shared.firehose.{module}")
    assert done.stdout.strip() == str([one.where for one in firehose.parse_request(request).malformed])
    assert "consent_state.gdpr_consent_state[*]" in done.stdout
