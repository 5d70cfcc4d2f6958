"""AWS Signature Version 4 for one JSON-protocol POST: just what ingest's calls need.

Ingest signs by itself because importing botocore is most of a cold start (docs/adr/0005-ingest-signs-by-itself.md). A
test holds the result equal to botocore's own signer.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Credentials:
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


JSON_VERSION = {"ssm": "1.1", "secretsmanager": "1.1"}
"""AWS's JSON protocol comes in two versions, which differ in this number; services that are not named here have 1.0."""


def signed_headers(
    credentials: Credentials, *, host: str, region: str, service: str, target: str, body: bytes, now: datetime
) -> dict[str, str]:
    """Headers of `POST /` with `body`, signed at `now` (UTC). `target` is the operation: `AmazonSQS.SendMessage`."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    date = stamp[:8]
    headers = {
        "content-type": f"application/x-amz-json-{JSON_VERSION.get(service, '1.0')}",
        "host": host,
        "x-amz-date": stamp,
        "x-amz-target": target,
    }
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    names = sorted(headers)
    signed = ";".join(names)
    canonical = "\n".join(
        ["POST", "/", "", *(f"{name}:{headers[name]}" for name in names), "", signed, hashlib.sha256(body).hexdigest()]
    )
    scope = f"{date}/{region}/{service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = _signing_key(credentials.secret_key, date, region, service)
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    credential = f"{credentials.access_key}/{scope}"
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={signature}"
    )
    return headers


@lru_cache(maxsize=4)
def _signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for step in (date, region, service, "aws4_request"):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return key
