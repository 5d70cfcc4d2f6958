"""The only module that opens partner sockets.

One pool for the life of the Lambda environment: connections are kept open, TLS certificates are verified, redirects
are not followed (they would carry credentials to another host), and nothing is retried here: `retry.py` decides that.
"""

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError

from partners import Delivery
from partners.wire import body_of, headers_of

MAX_ANSWER_BYTES = 1_048_576
"""What is read of an answer: enough for per-item results of a bulk call, bounded for everything else."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to: an HTTP answer, or `fault` for none (`timeout`, `connection`).

    `body` never goes into a log or an error: partners echo what they were sent.
    """

    status: int | None = None
    retry_after: str | None = None
    body: bytes = b""
    fault: str | None = None


class HttpClient:
    """Sends deliveries over at most `max_in_flight` kept connections a host; safe to use from several threads."""

    def __init__(
        self,
        *,
        max_in_flight: int,
        connect_timeout_s: float,
        read_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._pool = urllib3.PoolManager(
            num_pools=8,
            maxsize=max_in_flight,
            block=True,
            retries=False,
            ssl_context=tls or ssl.create_default_context(),
        )
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._clock = clock
        self._wall_clock = wall_clock

    def send(self, delivery: Delivery, *, idempotency_key: str, timeout_s: float) -> Answer:
        """Make the call; `timeout_s` bounds it as a whole, however slowly the answer drips in. Never raises for the
        network.
        """
        give_up_at = self._clock() + timeout_s
        timeout = urllib3.Timeout(
            connect=min(self._connect_timeout_s, timeout_s), read=min(self._read_timeout_s, timeout_s), total=timeout_s
        )
        try:
            response = self._pool.request(
                delivery.method,
                delivery.url,
                body=body_of(delivery),
                headers=headers_of(delivery, idempotency_key=idempotency_key, now_s=self._wall_clock()),
                timeout=timeout,
                redirect=False,
                preload_content=False,
                pool_timeout=timeout_s,
            )
        except LocationValueError as error:
            raise ValueError("no URL that could be called") from error
        except HTTPError as error:
            return Answer(fault=_fault(error))
        try:
            body = self._read(response, give_up_at)
        except (HTTPError, OSError) as error:
            response.close()
            return Answer(fault=_fault(error))
        finally:
            response.release_conn()  # a closed one, too: the pool opens it anew, and would miss it otherwise
        return Answer(status=response.status, retry_after=response.headers.get("Retry-After"), body=body)

    def _read(self, response: urllib3.BaseHTTPResponse, give_up_at: float) -> bytes:
        """Read the answer to its end or to the bound; a connection that was not read to its end is not used again."""
        body = b""
        while chunk := response.read1(65_536):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                response.close()
                return body[:MAX_ANSWER_BYTES]
            if self._clock() >= give_up_at:
                raise TimeoutError
        return body


def _fault(error: Exception) -> str:
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)  # which urllib3 derives from its time-outs
    timed_out = isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError)
    return "timeout" if timed_out and not refused else "connection"
