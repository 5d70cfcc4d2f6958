import base64
import json
from typing import Any

import pytest

from ingest_fn.function_url import REGISTRATION_BYTES, TELL_EVERY_S, FunctionUrl
from ingest_fn.payload import came_by_url, text_of
from shared.errors import (
    InvalidRequest,
    InvalidSettings,
    QueueUnavailable,
    RequestTooLarge,
    SpillwayError,
    TokensUnavailable,
)

TOKEN = "token-0123456789abcdef"
EVENTS = b'{"type":"event_processing_request","id":"r-1","events":[{"n":12345678901234567890.10,"p":10.00}]}'
REGISTRATION = b'{"type":"module_registration_request","id":"r-2"}'


class FakeTokens:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_down = False

    def know(self, token: str) -> bool:
        self.asked.append(token)
        if self.is_down:
            raise TokensUnavailable("the tokens cannot be read from ssm: TimeoutError")
        return token == TOKEN


class Url:
    """A Function URL with one token, whose requests are collected and answered with their type."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.reported: list[SpillwayError] = []
        self.error: SpillwayError | None = None
        self.tokens = FakeTokens()
        self.now_s = 100.0
        self.url = FunctionUrl(self.tokens, stage="test", clock=lambda: self.now_s)  # type: ignore[arg-type]

    def _ingest(self, request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if self.error:
            raise self.error
        return {"type": "some_response"}

    def post(
        self, body: bytes, authorization: str | None = f"Token {TOKEN}", **more: Any
    ) -> tuple[int, dict[str, Any]]:
        answer = self.url.answer(call(body, authorization, **more), self._ingest, self.reported.append)
        assert answer["headers"]["Content-Type"] == "application/json"
        return answer["statusCode"], json.loads(answer["body"])


def call(
    body: bytes | None,
    authorization: str | None = f"Token {TOKEN}",
    *,
    method: str = "POST",
    path: str = "/",
    in_base64: bool = False,
    **headers: str,
) -> dict[str, Any]:
    """What Lambda makes of an HTTP call, payload format 2.0."""
    named = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if authorization is not None:
        named["authorization"] = authorization
    event = {
        "version": "2.0",
        "rawPath": path,
        "headers": {name: value for name, value in named.items() if value},
        "requestContext": {"http": {"method": method, "path": path}, "accountId": "anonymous"},
        "isBase64Encoded": in_base64,
    }
    if body is not None:
        event["body"] = base64.b64encode(body).decode() if in_base64 else body.decode()
    return event


@pytest.fixture
def url() -> Url:
    return Url()


def test_a_call_by_url_is_told_from_an_invocation() -> None:
    """What Lambda wrapped is a call; mParticle's own JSON, or anything odd, is not."""
    assert came_by_url(call(EVENTS))
    for event in (json.loads(EVENTS), {}, [], None, {"requestContext": "x"}, {"requestContext": {"http": 5}}):
        assert not came_by_url(event)


@pytest.mark.parametrize("in_base64", [False, True])
def test_the_request_keeps_the_bytes_that_came(url: Url, in_base64: bool) -> None:
    """Plain or in base64: what ingest gets still has the text that mParticle wrote."""
    assert url.post(EVENTS, in_base64=in_base64) == (202, {"type": "some_response"})
    [request] = url.requests
    assert request["id"] == "r-1"
    assert text_of(request) == EVENTS


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("event_processing_request", 202),
        ("audience_membership_change_request", 202),
        ("dsr_processing_request", 202),
        ("audience_subscription_request", 200),
        ("module_registration_request", 200),
    ],
)
def test_what_is_queued_is_accepted_and_what_is_answered_in_line_is_done(url: Url, kind: str, status: int) -> None:
    """202 says that the request is kept and will be worked on, 200 that the answer is all."""
    assert url.post(json.dumps({"type": kind}).encode())[0] == status


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Token", "Token ", TOKEN, f"Bearer {TOKEN}", f"Token {TOKEN}x", f"Token {TOKEN[:-1]}", "Token é"],
)
def test_a_stranger_is_refused(url: Url, authorization: str | None) -> None:
    """Without the token, or with another one, nothing reaches ingest."""
    assert url.post(EVENTS, authorization)[0] == 401
    assert url.requests == []


@pytest.mark.parametrize("authorization", [f"Token {TOKEN}", f"token {TOKEN}", f"  TOKEN   {TOKEN} "])
def test_the_scheme_is_read_as_http_has_it(url: Url, authorization: str) -> None:
    """Its case and blanks around it do not matter."""
    assert url.post(EVENTS, authorization)[0] == 202


def test_registration_needs_no_token(url: Url) -> None:
    """mParticle asks who we are before it has a token; also while the tokens cannot be read."""
    url.tokens.is_down = True
    assert url.post(REGISTRATION, None)[0] == 200
    assert url.tokens.asked == []


def test_of_strangers_nothing_large_is_parsed(url: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is larger than a registration is not looked at before its sender is known."""
    large = json.dumps({"type": "module_registration_request", "padding": "x" * REGISTRATION_BYTES}).encode()

    def parsed(_: bytes) -> None:
        raise AssertionError("it was parsed")

    monkeypatch.setattr("ingest_fn.payload.read", parsed)
    assert url.post(large, None)[0] == 401


def test_a_wrong_token_is_401_even_with_a_body_that_is_no_json(url: Url) -> None:
    """A stranger learns nothing of what would be wrong with the body."""
    assert url.post(b"{not json", None)[0] == 401


def test_tokens_that_cannot_be_read_are_503(url: Url) -> None:
    """mParticle sends again what was answered with 503; it would drop what was answered with 401."""
    url.tokens.is_down = True
    assert url.post(EVENTS)[0] == 503
    assert [type(error) for error in url.reported] == [TokensUnavailable]
    assert url.requests == []


def test_a_url_that_was_made_by_hand_lets_nobody_in() -> None:
    """Without TOKEN_SOURCE there is nothing to compare with, and every request waits until the operator sets it."""
    reported: list[SpillwayError] = []
    url = FunctionUrl(None, stage="test")
    assert url.answer(call(EVENTS), lambda _: {"type": "never"}, reported.append)["statusCode"] == 503
    assert url.answer(call(EVENTS, None), lambda _: {"type": "never"}, reported.append)["statusCode"] == 503
    assert {type(error) for error in reported} == {InvalidSettings}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("must be a list", "events"), 400),
        (RequestTooLarge("exceeds", "events[17]"), 413),
        (QueueUnavailable("the queue did not take the message"), 503),
        (InvalidSettings("PARTNER=x: no such module"), 503),
    ],
)
def test_an_error_has_the_status_that_mparticles_retries_need(url: Url, error: SpillwayError, status: int) -> None:
    """What can never succeed is not retried, what may succeed later is; the field is named, our own matters are not."""
    url.error = error
    code, said = url.post(EVENTS)
    assert code == status
    assert said["error"] == (str(error) if isinstance(error, InvalidRequest) else "try again")
    assert url.reported == [error]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe{\x00}\x00", b'{"type":NaN}', b'{"a":1}{"b":2}', b"[" * 100_000, b'{"type":"\xff"}']
)
def test_what_is_no_json_is_400(url: Url, body: bytes) -> None:
    """Nobody has parsed it before us; what cannot be embedded in a message must not get there."""
    code, said = url.post(body, in_base64=True)
    assert (code, said["error"].split(":")[0]) == (400, "nested too deeply" if body[:2] == b"[[" else "not JSON")
    assert url.requests == []


def test_a_body_that_is_no_base64_is_400(url: Url) -> None:
    """Whatever Lambda says of it."""
    event = call(EVENTS)
    answer = url.url.answer({**event, "isBase64Encoded": True, "body": "{}!"}, url._ingest, url.reported.append)
    assert answer["statusCode"] == 400


def test_a_byte_order_mark_is_left_out(url: Url) -> None:
    """It may stand before JSON and nowhere else: in a message it would be amid."""
    assert url.post(b"\xef\xbb\xbf" + EVENTS, in_base64=True)[0] == 202
    assert text_of(url.requests[0]) == EVENTS


def test_json_that_is_no_object_is_left_to_ingest(url: Url) -> None:
    """It has the words for it."""
    url.post(b"[]")
    assert url.requests == [[]]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"method": "GET"}, 405),
        ({"method": "PUT"}, 405),
        ({"path": "/wp-login.php"}, 404),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_encoding": "gzip"}, 415),
        ({"content_type": "application/json; charset=utf-8"}, 202),
        ({"content_type": ""}, 202),
        ({"content_encoding": "identity"}, 202),
    ],
)
def test_only_a_post_of_json_to_the_root_is_a_request(url: Url, more: dict[str, Any], status: int) -> None:
    """Scanners and mistakes are refused before anything is read."""
    assert url.post(EVENTS, **more)[0] == status
    assert len(url.tokens.asked) == (status == 202)


def test_strangers_are_counted_together_and_their_tokens_are_not_logged(
    url: Url, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first is told at once, those of the next seconds with the first after them; no token stands in the log."""
    for _ in range(50):
        url.post(EVENTS, "Token canary-token-0123456789")
    url.now_s += TELL_EVERY_S
    url.post(EVENTS, "Token canary-token-0123456789")
    printed = capsys.readouterr().out
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [line["refused"] for line in lines if "refused" in line] == [1, 50]
    assert [line["Unauthorized"] for line in lines if "Unauthorized" in line] == [1, 50]
    assert "canary" not in printed


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"isBase64Encoded": True, "body": 5}, 400),
        ({"isBase64Encoded": True, "body": None}, 400),
        ({"isBase64Encoded": True, "body": "é"}, 400),
        ({"isBase64Encoded": "true"}, 400),
        ({"body": 5}, 400),
        ({"body": None}, 400),
        ({"body": {"type": "event_processing_request"}}, 400),
        ({"body": ["x"]}, 400),
        ({"body": "\ud800"}, 400),
        ({"headers": None}, 401),
        ({"headers": []}, 401),
        ({"headers": {"authorization": ["Token"], "content-type": None}}, 415),
        ({"rawPath": None}, 404),
        ({"requestContext": {"http": {}}}, 405),
        ({"requestContext": {"http": {"method": ["POST"]}}}, 405),
        ({"requestContext": {"http": None}}, 400),
        ({"requestContext": ["http"]}, 400),
        ({"requestContext": None}, 400),
    ],
    ids=repr,
)
def test_a_call_of_wrong_types_is_refused_with_a_status(url: Url, more: dict[str, Any], status: int) -> None:
    """Whatever stands where Lambda writes texts and objects; nothing of it reaches ingest."""
    answer = url.url.answer({**call(EVENTS), **more}, url._ingest, url.reported.append)
    assert answer["statusCode"] == status
    assert url.requests == []
