"""Where a deployed version delivers, as verbs name it."""

import io
import json
import sys

import pytest

from ops.releases.before_deploy import main
from ops.releases.destination import destination


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            {"PARTNER": "partners.webhook", "WEBHOOK_URL": "https://u:k@hooks.example:8443/in?key=k"},
            "partners.webhook, hooks.example:8443",
        ),
        ({"PARTNER": "partners.iterable", "QUEUE_URL": "https://sqs.example/q"}, "partners.iterable, api.iterable.com"),
        ({"PARTNER": "partners.iterable", "ITERABLE_DATA_CENTER": "eu"}, "partners.iterable, api.eu.iterable.com"),
        ({"PARTNER": "partners.iterable", "ITERABLE_DATA_CENTER": "?"}, "partners.iterable, its host is in its code"),
        ({"PARTNER": "partners.gone", "GONE_REGION": "eu"}, "partners.gone, its host is in its code"),
        ({}, "partners.webhook, its host is in its code"),
    ],
)
def test_partner_and_host_are_named(env: dict[str, str], said: str) -> None:
    """By its variables, by its code where these hold no address, and by nothing where the partner is not here."""
    assert str(destination(env)) == said


def test_a_deploy_asks_for_several(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is live and what is to be."""
    given = [{"PARTNER": "partners.iterable"}, {"PARTNER": "partners.iterable", "ITERABLE_DATA_CENTER": "eu"}]
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(given)))
    assert main(["hosts"]) == 0
    assert json.loads(capsys.readouterr().out) == [["api.iterable.com"], ["api.eu.iterable.com"]]
