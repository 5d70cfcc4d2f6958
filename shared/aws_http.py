"""One AWS service over one kept connection: a signed JSON call, without botocore.

It is for ingest, because importing botocore would be most of a cold start (docs/adr/0005-ingest-signs-by-itself.md). It
must not be used by several threads at once.
"""

import json
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from shared import http11
from shared.aws_roots import all_roots, amazons_roots
from shared.sigv4 import Credentials, signed_headers

CONNECT_TIMEOUT_S = 0.3
"""An endpoint in the region answers a handshake in milliseconds."""

SHORTEST_S = 0.05
"""The least time-out of a call: zero would mean no time-out at all."""


class Unreached(OSError):
    """The service was not reached, so it cannot have done anything."""


class AwsHttp:
    """Calls operations of one service (`sqs`, `dynamodb`). The connection is opened by the first call and kept."""

    def __init__(
        self,
        service: str,
        *,
        endpoint: str,
        region: str,
        credentials: Callable[[], Credentials],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._endpoint = urlsplit(endpoint)
        self._region = region
        self._credentials = credentials
        self._roots = amazons_roots
        self._connection: http11.Connection | None = None
        self._clock = clock

    def call(self, target: str, body: bytes, *, timeout_s: float) -> tuple[int, bytes]:
        """Make one call; gives status and answer. Raises OSError, and then closes the connection; Unreached
        where nothing was sent.

        `timeout_s` bounds each wait for the network, not their sum. If the other end closed a kept connection while it
        was idle, the service is well: another connection is opened, within the same time.
        """
        was_kept, began_s = self._connection is not None, self._clock()
        try:
            return self._call(target, body, timeout_s)
        except TimeoutError:
            raise
        except OSError:
            if not was_kept:
                raise
        return self._call(target, body, max(SHORTEST_S, timeout_s - (self._clock() - began_s)))

    def _call(self, target: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        try:
            connection = self._connect(timeout_s)
            headers = signed_headers(
                self._credentials(),
                host=self._endpoint.netloc,
                region=self._region,
                service=self._service,
                target=target,
                body=body,
                now=datetime.now(UTC),
            )
            answer = connection.post(headers, body)
        except OSError:
            self.close()
            raise
        if not connection.is_kept:
            self.close()
        return answer

    def _connect(self, timeout_s: float) -> http11.Connection:
        if self._connection is None:
            try:
                self._connection = self._open(min(timeout_s, CONNECT_TIMEOUT_S))
            except OSError as error:
                raise Unreached(type(error).__name__) from error
        self._connection.settimeout(timeout_s)
        return self._connection

    def _open(self, timeout_s: float) -> http11.Connection:
        """Open a connection; if Amazon's roots do not vouch for the endpoint, with all roots from then on."""
        try:
            return self._open_once(timeout_s)
        except ssl.SSLCertVerificationError:
            if self._roots is all_roots:
                raise
        self._roots = all_roots
        return self._open_once(timeout_s)

    def _open_once(self, timeout_s: float) -> http11.Connection:
        host, port, is_tls = self._endpoint.hostname or "", self._endpoint.port, self._endpoint.scheme == "https"
        return http11.connect(host, port, timeout_s=timeout_s, tls=self._roots() if is_tls else None)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def error_code(answer: bytes) -> str:
    """The service's own name of an error (`QueueDoesNotExist`), never its text."""
    try:
        code = json.loads(answer).get("__type", "")
    except (ValueError, AttributeError):
        return ""
    return code.rpartition("#")[2] if isinstance(code, str) and len(code) < 100 else ""
