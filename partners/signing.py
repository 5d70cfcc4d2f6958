"""Standard Webhooks signatures, and the secrets that they are made with. Pure.

key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")    24 bytes; the prefix may be left out
sign(secret, "msg-1", "1700000000", b"{}")          "v1,..."
"""

import base64
import binascii
import hashlib
import hmac
import re

KEY_PREFIX = "whsec_"
LEAST_KEY_BYTES = 24
"""Standard Webhooks's lower limit. Its upper one, 64, is not enforced: HMAC and the libraries that verify take more."""

_STANDARD, _URL_SAFE = re.compile(r"[A-Za-z0-9+/]+(={0,2})"), re.compile(r"[A-Za-z0-9_-]+(={0,2})")
_A_PREFIX = re.compile(r"wh[a-z]+_", re.IGNORECASE)
"""`whsk_` and `whpk_` are keys of the other kind of signature; no library accepts WHSEC_."""


def key_of(secret: str) -> bytes:
    """The key that a secret stands for: base64 in either alphabet, padded or not, with or without `whsec_`, as the
    receiver's library reads it.

    Raises ValueError, whose text says what the secret must be, as the end of a sentence, and quotes no part of it.
    """
    text = secret.removeprefix(KEY_PREFIX)
    form = None if _A_PREFIX.match(text) else _STANDARD.fullmatch(text) or _URL_SAFE.fullmatch(text)
    bare = text.rstrip("=")
    # Padding is complete, or left out altogether.
    if form is None or len(bare) % 4 == 1 or (form[1] and len(text) % 4):
        raise ValueError(f"must be {KEY_PREFIX} and base64, as Standard Webhooks has it")
    try:
        key = base64.b64decode(bare.translate(str.maketrans("-_", "+/")) + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error:  # whatever else the pattern lets pass: an unintended key must not sign
        raise ValueError(f"must be {KEY_PREFIX} and base64, as Standard Webhooks has it") from None
    if len(key) < LEAST_KEY_BYTES:
        raise ValueError(f"must hold at least {LEAST_KEY_BYTES} bytes in base64, as Standard Webhooks has it")
    return key


def sign(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over id, timestamp and body. Raises ValueError for an invalid secret."""
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key_of(secret), content, hashlib.sha256).digest()).decode()
