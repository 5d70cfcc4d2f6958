"""The fingerprints that tell two credentials apart."""

from dataclasses import replace

import pytest

from partners import Delivery, Secret
from worker_fn.accounts.fingerprint import CHARS, NO_SECRETS, fingerprint

CALL = Delivery(url="https://api.example/events", body=b"{}", item="1", secret_headers={"X-Key": Secret("k-1")})
KEY = b"a stack"


def of(delivery: Delivery, key: bytes = KEY) -> str:
    return fingerprint(delivery, key=key)


@pytest.mark.parametrize(
    "other",
    [
        replace(CALL, secret_headers={"X-Key": Secret("k-2")}),
        replace(CALL, secret_headers={"X-Other": Secret("k-1")}),
        replace(CALL, secret_headers={}, secret_fields={"X-Key": Secret("k-1")}),
        replace(CALL, secret_fields={"user": Secret("u")}),
        replace(CALL, sign_with=Secret("s")),
        replace(CALL, secret_headers={}, sign_with=Secret("k-1")),
        replace(CALL, secret_headers={}, headers={"authorization": "Basic dTpw"}),
        replace(CALL, url="https://api.eu.example/events"),
        replace(CALL, secret_headers={}),
    ],
)
def test_another_secret_is_another_fingerprint(other: Delivery) -> None:
    """Another secret gives another fingerprint, in a header, a field, a signature or a login, and so does
    another host.
    """
    assert of(other) != of(CALL)


def test_what_is_no_secret_makes_no_difference() -> None:
    """Calls of one customer that differ in everything but their credentials have one fingerprint."""
    other = Delivery(
        url="https://api.example/other?x=1",
        body=b"[]",
        item="2",
        headers={"X-Request": "9"},
        secret_headers={"x-key": Secret("k-1")},
    )
    assert of(other) == of(CALL)


def test_no_secrets_are_told_by_name() -> None:
    """A customer without a key has a fingerprint, too, which differs from that of a key that is set later."""
    assert of(replace(CALL, secret_headers={})) == NO_SECRETS


def test_a_fingerprint_is_short_and_of_this_stack() -> None:
    """Another stack has other fingerprints for the same secrets, and no fingerprint shows the key."""
    assert (len(of(CALL)), of(CALL) == of(CALL, b"another stack")) == (CHARS, False)
    assert "k-1" not in of(CALL)
