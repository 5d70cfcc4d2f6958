"""A delivery on the wire, credentials and signature included: for the client that sends it only."""

from collections.abc import Mapping

from partners.base import Delivery
from partners.headers import is_of_the_client, merged
from partners.signing import sign
from shared.message import to_json

USER_AGENT = "spillway"


def headers_of(delivery: Delivery, *, idempotency_key: str, now_s: float) -> dict[str, str]:
    """All headers, one of each name, whatever its case: a secret header replaces a plain one, and Spillway's own
    replace both. Raises ValueError as `body_of` does, for a secret that cannot sign, and for a header that the HTTP
    client writes.
    """
    if any(map(is_of_the_client, (*delivery.headers, *delivery.secret_headers))):
        raise ValueError("a header that the HTTP client writes")
    secrets = {name: secret.value for name, secret in delivery.secret_headers.items()}
    own = {"Idempotency-Key": idempotency_key, **_signature(delivery, idempotency_key, str(int(now_s)))}
    return merged({"User-Agent": USER_AGENT}, delivery.headers, secrets, own)


def _signature(delivery: Delivery, message_id: str, timestamp: str) -> Mapping[str, str]:
    if delivery.sign_with is None:
        return {}
    signature = sign(delivery.sign_with.value, message_id, timestamp, body_of(delivery))
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}


def body_of(delivery: Delivery) -> bytes:
    """The body with its secret fields first. Raises ValueError if it is no JSON object that they can join."""
    if not delivery.secret_fields:
        return delivery.body
    fields = to_json({name: secret.value for name, secret in delivery.secret_fields.items()})
    content = delivery.body.strip()
    if not (content.startswith(b"{") and content.endswith(b"}")):
        raise ValueError("secret fields need a body that is a JSON object")
    rest = content[1:].lstrip()
    return fields[:-1] + (b"" if rest == b"}" else b",") + rest
