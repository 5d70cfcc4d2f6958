import ssl
from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult

import pytest

from ops.doctor.partner import try_partner
from partners import Delivery, Partner, Secret
from shared.errors import InvalidRequest
from shared.firehose import Registration, Request
from worker_fn.clients.http import Answer


class Pinged(Partner):
    name = "pinged"

    def registration(self) -> Registration:
        return Registration(name="Pinged", version="1.0.0")

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        yield Delivery("https://api.partner.example/events", b"{}", "event")

    def ping(self, settings: Mapping[str, str]) -> Delivery | None:
        key = Secret(settings.get("apiKey", "none"))
        return Delivery("https://api.partner.example/me", b"", "ping", method="GET", secret_headers={"Api-Key": key})


class Silent(Pinged):
    def ping(self, settings: Mapping[str, str]) -> Delivery | None:
        return None


class Raising(Silent):
    def deliveries(self, request: Request) -> Iterable[Delivery]:
        raise KeyError("canary@example.com")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Answer(200), []),
        (Answer(401), ["partner.unauthorized"]),
        (Answer(403), ["partner.unauthorized"]),
        (Answer(503), ["partner.unexpected"]),
        (Answer(fault="timeout"), ["partner.unreachable"]),
    ],
)
def test_the_harmless_call_shows_whether_the_partner_takes_it(answer: Answer, found: list[str]) -> None:
    """Reachable, credentials accepted, or what else it answered."""
    sent: list[Delivery] = []
    findings = list(
        try_partner(Pinged(), {"apiKey": "canary-key"}, send=lambda one: [sent.append(one), answer][1])  # type: ignore[func-returns-value, return-value, list-item]
    )
    assert [one.id for one in findings] == found
    assert [(one.method, one.secret_headers["Api-Key"].value) for one in sent] == [("GET", "canary-key")]
    assert "canary-key" not in repr(findings)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (None, []),
        (ConnectionRefusedError(), ["partner.unreachable"]),
        (ssl.SSLCertVerificationError(), ["partner.certificate"]),
    ],
)
def test_without_a_call_the_way_is_tried(error: Exception | None, found: list[str]) -> None:
    """The host that deliveries go to: name, port and certificate."""
    tried: list[str | None] = []

    def connect(address: SplitResult) -> None:
        tried.append(address.hostname)
        if error:
            raise error

    assert [one.id for one in try_partner(Silent(), {}, connect=connect)] == found
    assert tried == ["api.partner.example"]


def test_a_mapping_that_raises_is_said_without_what_it_saw() -> None:
    """Where it sends is then not known; nothing of a sample is shown."""
    (finding,) = try_partner(Raising(), {}, connect=lambda _: None)
    assert finding.id == "partner.not-tried"
    assert "canary" not in repr(finding)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (InvalidRequest("must be set", "account.account_settings.apiKey"), "partner.settings"),
        (KeyError("canary@example.com"), "partner.not-tried"),
    ],
)
def test_a_ping_that_raises_is_a_finding(error: Exception, found: str) -> None:
    """What else was examined is still told, and nothing is sent."""

    class Unable(Pinged):
        def ping(self, settings: Mapping[str, str]) -> Delivery | None:
            raise error

    sent: list[Delivery] = []
    (finding,) = try_partner(Unable(), {"apiKey": "k"}, send=lambda one: [sent.append(one), Answer(200)][1])  # type: ignore[func-returns-value, return-value, list-item]
    assert (finding.id, sent) == (found, [])
    assert "canary" not in repr(finding)
