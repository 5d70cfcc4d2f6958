"""Which credentials a delivery carries, as a fingerprint: it tells two credentials apart, but cannot be used to call.

A fingerprint is a keyed digest, cut short. Its key is not in the state table, where fingerprints are kept, so nobody
who reads the table, or a backup of it, can check guesses. docs/adr/0041 has the rest.
"""

import hashlib
import hmac
from urllib.parse import urlsplit

from partners import Delivery
from shared.message import to_json

NO_SECRETS = "none"
"""The fingerprint of a delivery without credentials: a customer's settings may lack them, or the partner asks for none.
"""
CHARS = 16
"""Hexadecimal digits, 64 bits: enough for the few credentials that an account has in its life."""


def fingerprint(delivery: Delivery, *, key: bytes) -> str:
    """The fingerprint of a delivery's secrets and of their host: a key may be valid at one host only."""
    secrets = [("header", name.lower(), secret.value) for name, secret in delivery.secret_headers.items()]
    secrets += [("field", name, secret.value) for name, secret in delivery.secret_fields.items()]
    # HTTP's own place for credentials, if a partner's code did not mark them as secret.
    secrets += [("header", "authorization", value) for name, value in delivery.headers.items() if _is_login(name)]
    if delivery.sign_with is not None:
        secrets.append(("signature", "", delivery.sign_with.value))
    if not secrets:
        return NO_SECRETS
    content = to_json([urlsplit(delivery.url).netloc.lower(), sorted(secrets)])
    return hmac.new(key, content, hashlib.sha256).hexdigest()[:CHARS]


def _is_login(name: str) -> bool:
    return name.lower() == "authorization"
