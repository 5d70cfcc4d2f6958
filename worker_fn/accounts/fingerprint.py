"""Which credentials a delivery carries, as a fingerprint: enough to tell two apart, nothing to call the partner with.

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
"""64 bits: an account has a few credentials in its life."""


def fingerprint(delivery: Delivery, *, key: bytes) -> str:
    """The fingerprint of a delivery's secrets and of their host: a key may be valid at one host only."""
    secrets = [("header", name.lower(), secret.value) for name, secret in delivery.secret_headers.items()]
    secrets += [("field", name, secret.value) for name, secret in delivery.secret_fields.items()]
    # HTTP's own place for credentials, should a partner not have marked them as such.
    secrets += [("header", "authorization", value) for name, value in delivery.headers.items() if _is_login(name)]
    if delivery.sign_with is not None:
        secrets.append(("signature", "", delivery.sign_with.value))
    if not secrets:
        return NO_SECRETS
    content = to_json([urlsplit(delivery.url).netloc.lower(), sorted(secrets)])
    return hmac.new(key, content, hashlib.sha256).hexdigest()[:CHARS]


def _is_login(name: str) -> bool:
    return name.lower() == "authorization"
