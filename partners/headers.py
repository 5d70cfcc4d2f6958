"""The HTTP headers of a delivery, as both functions send it."""

import base64
import hashlib
import hmac

from partners.base import Delivery

USER_AGENT = "spillway"


def headers_of(delivery: Delivery, *, idempotency_key: str, now_s: float) -> dict[str, str]:
    """All headers, credentials and signature included: for the client that sends them and nobody else."""
    headers = {"User-Agent": USER_AGENT, "Idempotency-Key": idempotency_key, **delivery.headers}
    headers |= {name: secret.value for name, secret in delivery.secret_headers.items()}
    if delivery.sign_with is not None:
        timestamp = str(int(now_s))
        headers |= {
            "webhook-id": idempotency_key,
            "webhook-timestamp": timestamp,
            "webhook-signature": sign(delivery.sign_with.value, idempotency_key, timestamp, delivery.body),
        }
    return headers


def sign(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """A Standard Webhooks signature: HMAC-SHA256 over id, timestamp and body.

    A secret that starts with `whsec_` is base64 after that, as the standard has it; any other is taken as it is.
    """
    encoded = secret.startswith("whsec_")
    key = base64.b64decode(secret.removeprefix("whsec_")) if encoded else secret.encode()
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
