"""The only module of ingest that opens partner sockets: for audience subscriptions, which are answered in line."""

import hashlib
import http.client
import ssl
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

from partners import Delivery
from partners.in_line import Answer
from partners.wire import body_of, headers_of
from shared.errors import SubscriptionFailed

MAX_ANSWER_BYTES = 1_048_576
"""More than anybody says to a subscription."""

RETRIED = frozenset({408, 425, 429})
"""With 5xx: the partner is busy or down, and the same call may succeed later. As in worker_fn/classify.py."""


class PartnerCall:
    """Makes a partner's calls for one request, all of them before `give_up_at` (on `clock`). See partners.in_line.Call.

    `about` is what the request is: the keys of its calls are made of it.
    """

    def __init__(
        self,
        about: tuple[str, ...],
        give_up_at: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._about = about
        self._give_up_at = give_up_at
        self._clock = clock
        self._wall_clock = wall_clock
        self._seen: Counter[tuple[str, str]] = Counter()

    def __call__(self, delivery: Delivery) -> Answer:
        """Raises SubscriptionFailed, and ValueError for what HTTP has no form for."""
        address = urlsplit(delivery.url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise ValueError("no URL that could be called")
        body, headers = (
            body_of(delivery),
            headers_of(delivery, idempotency_key=self._key(delivery), now_s=self._wall_clock()),
        )
        target = (address.path or "/") + (f"?{address.query}" if address.query else "")
        connection = self._connection(address.scheme, address.hostname, address.port)
        try:
            connection.request(delivery.method, target, body, headers)
            answer = self._read(connection, connection.getresponse())
        except TimeoutError:
            raise SubscriptionFailed("the partner did not answer in time") from None
        except (OSError, http.client.HTTPException) as error:
            raise SubscriptionFailed(f"the partner gave no answer ({type(error).__name__})") from None
        finally:
            connection.close()
        if answer.status in RETRIED or answer.status >= 500:
            raise SubscriptionFailed(f"the partner answered HTTP {answer.status}")
        return answer

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        left_s = self._left_s()
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=left_s)
        return http.client.HTTPSConnection(host, port, timeout=left_s, context=ssl.create_default_context())

    def _read(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> Answer:
        """Read to the end, to the bound, or until the time is up, however slowly the answer drips in."""
        body = b""
        while len(body) < MAX_ANSWER_BYTES:
            if connection.sock is not None:  # closed already where the answer ends with the connection
                connection.sock.settimeout(self._left_s())
            chunk = response.read1(65_536)
            if not chunk:
                break
            body += chunk
        return Answer(response.status, body[:MAX_ANSWER_BYTES])

    def _left_s(self) -> float:
        left_s = self._give_up_at - self._clock()
        if left_s <= 0:
            raise SubscriptionFailed("the partner did not answer in time")
        return left_s

    def _key(self, delivery: Delivery) -> str:
        """The same whenever mParticle sends the same request again."""
        endpoint = f"{delivery.method} {urlsplit(delivery.url).path}"
        self._seen[endpoint, delivery.item] += 1
        parts = (*self._about, endpoint, delivery.item, str(self._seen[endpoint, delivery.item]))
        return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
