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
"""AWS's JSON protocol has two versions, which differ in this number; services not named here have 1.0."""


def signed_headers(
    credentials: Credentials, *, host: str, region: str, service: str, target: str, body: bytes, now: datetime
) -> dict[str, str]:
    """Headers of `POST /` with `body`, signed at `now` (UTC). `target` is the operation: `AmazonSQS.SendMessage`."""
    stamp = f"{now.year:04}{now.month:02}{now.day:02}T{now.hour:02}{now.minute:02}{now.second:02}Z"
    form = _form(credentials, stamp[:8], host=host, region=region, service=service, target=target)
    canonical = f"{form.canonical.replace(_STAMP, stamp)}{hashlib.sha256(body).hexdigest()}"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{form.scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(form.key, to_sign.encode(), hashlib.sha256).hexdigest()
    return {**form.headers, "x-amz-date": stamp, "authorization": f"{form.authorization}{signature}"}


_STAMP = "\0"
"""Stands in a `_Form` in place of the time; no header can hold it."""


class _Form:
    """What a day's calls of one operation have in common: all but the time, the body's hash and the signature."""

    def __init__(
        self, credentials: Credentials, date: str, *, host: str, region: str, service: str, target: str
    ) -> None:
        self.headers = {
            "content-type": f"application/x-amz-json-{JSON_VERSION.get(service, '1.0')}",
            "host": host,
            "x-amz-date": _STAMP,
            "x-amz-target": target,
        }
        if credentials.session_token:
            self.headers["x-amz-security-token"] = credentials.session_token
        names = sorted(self.headers)
        signed = ";".join(names)
        self.canonical = "\n".join(
            ["POST", "/", "", *(f"{name}:{self.headers[name]}" for name in names), "", signed, ""]
        )
        self.scope = f"{date}/{region}/{service}/aws4_request"
        credential = f"{credentials.access_key}/{self.scope}"
        self.authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature="
        self.key = _signing_key(credentials.secret_key, date, region, service)


_form = lru_cache(maxsize=16)(_Form)


def _signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for step in (date, region, service, "aws4_request"):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return key
