from typing import Any

import pytest

from partners import Delivery, Secret
from partners.headers import merged, why_reserved
from partners.wire import headers_of

OURS = ["Idempotency-Key", "webhook-id", "WEBHOOK-TIMESTAMP", "Webhook-Signature"]
FRAMES = [
    "Host",
    "content-length",
    "Transfer-Encoding",
    "CONNECTION",
    "TE",
    "Expect",
    "Upgrade",
    "trailer",
    "Keep-Alive",
]


def headers(**fields: Any) -> dict[str, str]:
    delivery = Delivery(**{"url": "https://h.example/", "body": b"{}", "item": "e", **fields})
    return headers_of(delivery, idempotency_key="key-1", now_s=1_700_000_000)


def test_a_name_has_no_case() -> None:
    """The later header takes the earlier one's place, however either is written."""
    assert merged({"Content-Type": "a", "X": "1"}, {"content-type": "b"}) == {"X": "1", "content-type": "b"}


def test_no_header_is_sent_twice() -> None:
    """What a partner sets stands before Spillway's default, a secret before what is plain."""
    sent = headers(
        headers={"user-agent": "acme", "authorization": "plain", "x-a": "1"},
        secret_headers={"Authorization": Secret("Bearer k"), "X-A": Secret("2")},
    )
    assert sent == {"user-agent": "acme", "Authorization": "Bearer k", "X-A": "2", "Idempotency-Key": "key-1"}


def test_what_spillway_writes_stands_before_all() -> None:
    """A delivery's own key would not be the one that the worker remembers."""
    sent = headers(
        headers={"idempotency-key": "own", "Webhook-Id": "own"},
        secret_headers={"IDEMPOTENCY-KEY": Secret("own")},
        sign_with=Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    )
    assert sent["Idempotency-Key"] == sent["webhook-id"] == "key-1"
    assert len({name.lower() for name in sent}) == len(sent)
    assert "own" not in sent.values()


@pytest.mark.parametrize("name", FRAMES)
def test_a_call_that_frames_itself_is_not_made(name: str) -> None:
    """Two lengths or hosts are read differently by different servers."""
    assert why_reserved(name) == "the HTTP client writes it"
    for where in ({"headers": {name: "1"}}, {"secret_headers": {name: Secret("1")}}):
        with pytest.raises(ValueError, match="HTTP client"):
            headers(**where)


@pytest.mark.parametrize("name", OURS)
def test_what_is_made_for_each_call_is_nobodys_to_set(name: str) -> None:
    """It is named with its reason."""
    assert why_reserved(name) == "Spillway writes it, for each call"
    assert why_reserved("X-Source") is None
