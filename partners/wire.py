"""A delivery on the wire, credentials and signature included: for the client that sends it and nobody else."""

import base64
import hashlib
import hmac

from partners.base import Delivery
from shared.message import to_json

USER_AGENT = "spillway"


def headers_of(delivery: Delivery, *, idempotency_key: str, now_s: float) -> dict[str, str]:
    """All headers. Raises ValueError as `body_of` does."""
    headers = {"User-Agent": USER_AGENT, "Idempotency-Key": idempotency_key, **delivery.headers}
    headers |= {name: secret.value for name, secret in delivery.secret_headers.items()}
    if delivery.sign_with is not None:
        timestamp = str(int(now_s))
        headers |= {
            "webhook-id": idempotency_key,
            "webhook-timestamp": timestamp,
            "webhook-signature": sign(delivery.sign_with.value, idempotency_key, timestamp, body_of(delivery)),
        }
    return headers


def body_of(delivery: Delivery) -> bytes:
    """The body with its secret fields as the first ones. Raises ValueError if they have no JSON object to join."""
    if not delivery.secret_fields:
        return delivery.body
    fields = to_json({name: secret.value for name, secret in delivery.secret_fields.items()})
    content = delivery.body.strip()
    if not (content.startswith(b"{") and content.endswith(b"}")):
        raise ValueError("secret fields need a body that is a JSON object")
    rest = content[1:].lstrip()
    return fields[:-1] + (b"" if rest == b"}" else b",") + rest


def sign(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """A Standard Webhooks signature: HMAC-SHA256 over id, timestamp and body.

    A secret that starts with `whsec_` is base64 after that, as the standard has it; any other is taken as it is.
    """
    encoded = secret.startswith("whsec_")
    key = base64.b64decode(secret.removeprefix("whsec_")) if encoded else secret.encode()
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
