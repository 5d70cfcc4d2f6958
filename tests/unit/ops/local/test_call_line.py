from datetime import UTC, datetime
from typing import Any

import pytest

from ops.local.call_line import credentials, line_of, masked_path
from ops.local.partner_api import Exchange, Reply

NOW = datetime(2026, 11, 24, 12, 3, 4, 512_000, tzinfo=UTC)


def exchange(content: Any, target: str = "/events", **headers: str) -> Exchange:
    return Exchange("POST", target, headers, 1412, content, Reply(200))


def test_a_line_says_what_came_and_how_it_was_answered() -> None:
    """Time, status, endpoint, size, the customer's number and the event; the credential is masked."""
    content = {
        "event": {"id": "1f0c2a9b-0000", "type": "custom_event"},
        "context": {"account": {"account_id": 5001}},
    }
    assert line_of(exchange(content, authorization="Bearer canary"), NOW) == (
        "12:03:04.512  200  POST /events  1,412 B  account 5001  custom_event 1f0c2a9b…  authorization: ***"
    )


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"event": "canary", "context": ["canary"]},
        {"event": {"id": 7, "type": "canary@example.org"}, "context": {"account": {"account_id": "canary"}}},
        {"user_identities": [{"type": "email", "value": "canary@example.org"}]},
    ],
)
def test_a_body_of_another_form_is_only_counted(content: Any) -> None:
    """Nothing of a body that is not the webhook partner's gets into the line."""
    line = line_of(exchange(content, "/users/canary@example.org?api_key=canary", **{"x-api-key": "canary"}), NOW)
    assert line == "12:03:04.512  200  POST /users/***  1,412 B  x-api-key: ***"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/api/v2/users/bulkUpdate", "/api/v2/users/bulkUpdate"),
        ("/users/12345/events", "/users/***/events"),
        ("/users/a%40example.org", "/users/***"),
        ("/?email=a@example.org", "/"),
        ("", ""),
    ],
)
def test_a_path_shows_endpoints_alone(target: str, shown: str) -> None:
    """What may be an id or an address is masked, and the query is left out."""
    assert masked_path(target) == shown


def test_the_idempotency_key_is_no_credential() -> None:
    """Names that open something are listed, others are not."""
    headers = dict.fromkeys(("authorization", "api-key", "webhook-signature", "idempotency-key", "host"), "x")
    assert credentials(headers) == ["authorization", "api-key", "webhook-signature"]
