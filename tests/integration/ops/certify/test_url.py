"""`spillway certify URL` against an HTTP integration on loopback, as it is run on a command line."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ops.certify.exchange import Ending, Sent, Token
from ops.certify.targets import TargetUnavailable, UrlTarget
from ops.cli import app

CALM = ("--max-ms", "60000")
"""Speed decides no test: this machine may be busy."""

Certify = Callable[..., Result]


@pytest.fixture
def certify(serving: Any, integration: Any) -> Certify:
    """Certify the bad integration with some faults; returns the command's output."""

    def run(*faults: str, options: tuple[str, ...] = (), token: str | None = integration.TOKEN) -> Result:
        bad = integration.Integration(faults)

        def answer(method: str, authorization: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
            status, content_type, payload = bad.http(method, authorization, body)
            return status, {"Content-Type": content_type}, payload

        with serving(answer) as url:
            return CliRunner().invoke(
                app, ["certify", f"{url}/firehose?key=canary", *CALM, *options], env={"SPILLWAY_TOKEN": token}
            )

    return run


def test_an_integration_without_faults_passes(certify: Certify) -> None:
    """The status is 0, there are no objections, every check shows its requests, and without a terminal there is no
    progress bar.
    """
    done = certify()
    assert done.exit_code == 0, done.stdout
    assert "mParticle would have nothing to object to." in done.stdout
    assert "made up apiKey, listId" in done.stdout
    assert done.stderr == ""
    assert "canary" not in done.stdout


def test_faults_are_found_with_what_mends_them(certify: Certify) -> None:
    """The status is 1, and the document for tools has findings with id, severity, message and mend."""
    faults = (
        *("registration_long", "registration_no_sdk_version", "probe_events", "no_roku", "no_id", "seconds"),
        *("new_event", "small", "http_500", "http_any_token", "http_content_type", "no_erasure", "stores_numbers"),
    )
    done = certify(*faults, options=("--json",))
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["passed"] is False
    assert {one["id"] for one in document["findings"]} == {
        *("registration.description.long", "registration.sdk_version", "probe.events", "events.refused", "answer.id"),
        *("answer.timestamp_ms", "newer.event_type", "size.refused", "malformed.retried", "http.open"),
        *("http.content_type", "erasures.refused", "subscriptions.settings"),
    }
    for one in document["findings"]:
        assert {"id", "severity", "message", "mend"} <= one.keys()
        assert one["mend"]
    assert document["times"]["warm"]["calls"] == 100
    assert "requests with made-up data" in done.stderr


def test_settings_and_token_are_nowhere_in_what_is_printed(certify: Certify, integration: Any) -> None:
    """The output has a setting's name, but neither its value nor the token."""
    done = certify("echoes", options=("--setting", "apiKey=canary-value", "--only", "events", "--only", "malformed"))
    assert "apiKey=***" in done.stdout
    assert "canary-value" not in done.output
    assert integration.TOKEN not in done.output


@pytest.mark.parametrize(
    ("token", "said"),
    [("guessed", "does not take this SPILLWAY_TOKEN"), (None, "wants a token: set SPILLWAY_TOKEN")],
)
def test_a_token_that_is_not_taken_ends_the_run(certify: Certify, token: str | None, said: str) -> None:
    """If the token is refused, the status is 2, because nothing can be judged."""
    done = certify(token=token)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert said in line


def test_an_integration_that_wants_no_token_is_open(certify: Certify) -> None:
    """Without a token to try, a request that is accepted shows that the integration is open."""
    done = certify("http_open", token=None, options=("--json", "--only", "http"))
    found = {one["id"]: one["severity"] for one in json.loads(done.stdout)["findings"]}
    assert found == {"http.open": "error", "http.no_token": "warning"}


def test_nobody_there_is_one_line_and_status_2() -> None:
    """If nobody listens on the port, the command prints one line and ends with status 2."""
    done = CliRunner().invoke(app, ["certify", "http://127.0.0.1:9/"])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("spillway: http://127.0.0.1:9/ cannot be reached")


def test_what_does_not_answer_in_time_is_timed_out(serving: Any, integration: Any) -> None:
    """A request whose answer never comes times out."""
    waiting = integration.threading.Event()

    def answer(*_: object) -> tuple[int, dict[str, str], bytes]:
        waiting.wait(30)
        return 0, {}, b""

    with serving(answer) as url:
        got = UrlTarget(url, timeout_s=0.2).send(Sent.of("a request", {"type": "x"}))
        waiting.set()
    assert (got.ending, got.status) == (Ending.TIMED_OUT, 0)


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (202, Ending.ANSWERED),
        (302, Ending.REFUSED),
        (429, Ending.THROTTLED),
        (503, Ending.REFUSED),
        (0, Ending.NO_ANSWER),
    ],
)
def test_a_status_is_taken_as_it_is(serving: Any, status: int, ending: Ending) -> None:
    """No redirect is followed, no request is sent again, and a broken connection is not an answer."""
    asked = []

    def answer(method: str, authorization: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        asked.append((method, authorization, body))
        return status, {"Location": "/elsewhere"}, b"{}"

    with serving(answer) as url:
        got = UrlTarget(url, token="t").send(Sent("a request", b"{}", token=Token.RIGHT))
    assert (got.ending, got.status) == (ending, status)
    assert asked == [("POST", "Token t", b"{}")]


def test_the_network_is_one_round_trip(serving: Any) -> None:
    """The round trip is measured without a request; if nobody listens it is unknown."""
    asked = []
    with serving(lambda *request: asked.append(request) or (200, {}, b"")) as url:
        network_ms = UrlTarget(url).round_trip_ms()
    assert network_ms is not None
    assert network_ms > 0
    assert asked == []
    assert UrlTarget("http://127.0.0.1:9/").round_trip_ms() is None


def test_a_certificate_that_cannot_be_trusted_is_said(serving: Any) -> None:
    """If a server speaks plain HTTP at an https URL, the handshake fails with a message, and no request is sent."""
    with serving(lambda *_: (200, {}, b"")) as url, pytest.raises(TargetUnavailable, match="certificate"):
        UrlTarget(url.replace("http://", "https://")).send(Sent("a request", b"{}"))


def test_a_setting_that_nobody_asked_for_is_said(certify: Certify) -> None:
    """A setting that is not registered is named: a misspelt name would otherwise look like a refused key."""
    done = certify(options=("--setting", "apikey=canary-value", "--only", "probes"))
    assert "not asked for, so not sent, apikey; made up apiKey, listId" in done.stdout
    assert "canary-value" not in done.output
