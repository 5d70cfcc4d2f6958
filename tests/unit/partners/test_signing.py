import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier

from partners.settings import signing_secret
from partners.signing import LEAST_KEY_BYTES, key_of, sign
from shared.errors import InvalidRequest

KEY = bytes(range(200, 232))  # both letters in which the alphabets differ are in its base64
STANDARD, URL_SAFE = base64.b64encode(KEY).decode(), base64.urlsafe_b64encode(KEY).decode()


@given(st.binary(min_size=LEAST_KEY_BYTES, max_size=80), st.booleans(), st.booleans(), st.booleans())
def test_every_spelling_of_a_key_verifies_with_the_public_library(
    key: bytes, prefixed: bool, url_safe: bool, padded: bool
) -> None:
    """Either alphabet, padded or not, with the prefix or without: a receiver that knows the key takes the signature."""
    coded = (base64.urlsafe_b64encode(key) if url_safe else base64.b64encode(key)).decode()
    secret = ("whsec_" if prefixed else "") + (coded if padded else coded.rstrip("="))
    if secret.startswith("wh") and "_" in secret and not prefixed:
        return  # spelled like a prefix, by a chance of one in millions
    timestamp = str(int(datetime.now(UTC).timestamp()))
    signed = {
        "webhook-id": "m",
        "webhook-timestamp": timestamp,
        "webhook-signature": sign(secret, "m", timestamp, b"{}"),
    }
    assert Verifier(f"whsec_{base64.b64encode(key).decode()}").verify("{}", signed) == {}


def test_the_alphabets_are_told_apart() -> None:
    """The key of the examples is spelled differently in the two."""
    assert STANDARD != URL_SAFE
    assert key_of(f"whsec_{STANDARD}") == key_of(URL_SAFE) == key_of(URL_SAFE.rstrip("=")) == KEY


@pytest.mark.parametrize(
    "secret",
    [
        "", "whsec_", "whsec_!!!", "whsec_----", "whsec_====", "whsec_=", "=", "whsec", "s-canary", "canary password",
        f" whsec_{STANDARD}", f"whsec_{STANDARD} ", f"whsec_ {STANDARD}", f"whsec_{STANDARD}\n",
        f"whsec_{STANDARD}\x00",
        f"whsec_{STANDARD}=", f"whsec_{STANDARD}A", f"whsec_={STANDARD}", f"whsec_{STANDARD[:-1]}==",
        f"whsec_{STANDARD}é",
        f"whsec_whsec_{STANDARD}", f"WHSEC_{STANDARD}", f"whsk_{STANDARD}", f"whpk_{STANDARD}", f"whsec-{STANDARD}",
        "whsec_" + STANDARD.replace("+", "-"), f"whsec_{STANDARD[:20]}", "whsec_AAAA", f'"whsec_{STANDARD}"',
        f"v1,whsec_{STANDARD}", "whsec_" + "\uff21" * 43,
    ],
)  # fmt: skip
def test_what_is_no_key_is_refused_by_the_settings_name(secret: str) -> None:
    """No message is signed with a key that nobody meant; the error says what it must be and shows nothing of it."""
    with pytest.raises(InvalidRequest, match=r"^account\.account_settings\.signingSecret: must (be|hold) ") as raised:
        signing_secret({"signingSecret": secret}, "signingSecret")
    assert "canary" not in str(raised.value)
    with pytest.raises(ValueError, match="Standard Webhooks"):
        sign(secret, "m", "1", b"")


def test_a_missing_secret_is_refused_by_name() -> None:
    """A customer who has not set it is told so."""
    with pytest.raises(InvalidRequest, match="signingSecret"):
        signing_secret({}, "signingSecret")
