"""The function that is certified: invoked by ARN, as mParticle invokes a Lambda integration, or by HTTPS.

Each request is tried once: retries would hide what mParticle sees. An answer's time is measured here, close to the
socket. A target also says how much of it the network may take: one round trip, the time for opening a connection.
"""

import re
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
    ReadTimeoutError,
)

from ops.certify.exchange import Answer, Ending, Sent, Token
from shared.errors import InvalidSettings, SpillwayError

ANSWER_TIMEOUT_S = 20.0
"""The longest wait for an answer. mParticle's own limit is not published; its rule is 200 ms."""
REACH_TIMEOUT_S = 5.0
LONGEST_ANSWER_BYTES = 6 * 1024 * 1024
"""Lambda's limit for an answer."""

LAMBDA_LIMIT_MS = 200.0
"""mParticle asks that a Lambda integration answers 99% of calls in less."""
HTTP_LIMIT_MS = 100.0
"""The same for an HTTP integration."""

_ARN = re.compile(
    r"arn:aws[a-z-]*:lambda:(?P<region>[a-z0-9-]+):[0-9]{12}:function:[A-Za-z0-9_-]+(?P<qualifier>:[A-Za-z0-9$_-]+)?"
)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_CANNOT_INVOKE = {
    "ResourceNotFoundException": "there is no such function or alias",
    "AccessDeniedException": "these credentials may not invoke it: they need lambda:InvokeFunction for this ARN",
    "ExpiredTokenException": "the credentials have expired",
    "UnrecognizedClientException": "AWS does not know these credentials",
    "InvalidSignatureException": "AWS does not take these credentials",
}


class TargetUnavailable(SpillwayError):
    """The function cannot be called at all; the text says what to change. Nothing is certified then."""


class Target(Protocol):
    """The function that is certified. `name` holds no secret."""

    name: str
    speaks_http: bool
    has_token: bool
    qualified: bool
    """Whether the target stays the same when others deploy: an alias or a version, not the newest code."""

    def send(self, sent: Sent) -> Answer:
        """Send once and say how it was answered. Raises TargetUnavailable where no request could be answered."""

    def round_trip_ms(self) -> float | None:
        """The network's part of an answer's time: one round trip, None if it cannot be told."""


def target_of(text: str, *, token: str = "", connections: int = 20) -> Target:
    """Find the target that an ARN or a URL names. Raises InvalidSettings."""
    if text.startswith("arn:"):
        return LambdaTarget(text, connections=connections)
    return UrlTarget(text, token=token, connections=connections)


def rule_ms(target: Target) -> float:
    """The time that 99% of its answers must stay below."""
    return HTTP_LIMIT_MS if target.speaks_http else LAMBDA_LIMIT_MS


class LambdaTarget:
    """A function, version or alias. AWS is reached as boto3 reaches it, the region is the ARN's."""

    speaks_http = False
    has_token = False

    def __init__(self, arn: str, *, connections: int = 20, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        found = _ARN.fullmatch(arn)
        if not found:
            raise InvalidSettings(
                "TARGET must be the ARN of a function's alias,"
                " arn:aws:lambda:REGION:ACCOUNT:function:NAME:ALIAS, or the URL of an HTTP integration"
            )
        self.name = arn
        self.qualified = found["qualifier"] not in {None, ":$LATEST"}
        config = Config(
            connect_timeout=REACH_TIMEOUT_S,
            read_timeout=timeout_s,
            retries={"total_max_attempts": 1},
            max_pool_connections=connections,
        )
        try:
            session = boto3.session.Session()
            self._client: Any = session.client("lambda", region_name=found["region"], config=config)
        except BotoCoreError as error:
            raise InvalidSettings(f"AWS cannot be reached with these settings: {error}") from None

    def send(self, sent: Sent) -> Answer:
        started_s = time.perf_counter()
        payload, status = b"", 0
        try:
            answer = self._client.invoke(FunctionName=self.name, Payload=sent.body)
            payload, status = answer["Payload"].read(), int(answer["StatusCode"])
            ending = Ending.FUNCTION_ERROR if "FunctionError" in answer else Ending.ANSWERED
            if ending is Ending.FUNCTION_ERROR and b"Task timed out after" in payload:
                ending = Ending.TIMED_OUT
        except ReadTimeoutError:
            ending = Ending.TIMED_OUT
        except ClientError as error:
            ending, status = self._not_taken(error)
        except (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError):
            raise TargetUnavailable(
                f"AWS Lambda does not answer at {self._client.meta.endpoint_url}: check the network"
                " and AWS_ENDPOINT_URL"
            ) from None
        except ConnectionClosedError:
            ending = Ending.NO_ANSWER
        except BotoCoreError as error:  # no credentials, a profile that is none
            raise TargetUnavailable(f"AWS cannot be called: {error}") from None
        return Answer(ending, status, payload, (time.perf_counter() - started_s) * 1000, "application/json")

    def _not_taken(self, error: ClientError) -> tuple[Ending, int]:
        code = error.response["Error"]["Code"]
        status = int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0))
        if code in _CANNOT_INVOKE:
            raise TargetUnavailable(f"{self.name} cannot be invoked: {_CANNOT_INVOKE[code]}") from None
        return (Ending.THROTTLED if status == 429 else Ending.REFUSED), status

    def round_trip_ms(self) -> float | None:
        return _round_trip_ms(self._client.meta.endpoint_url)


class UrlTarget:
    """An HTTP integration: a POST with `Authorization: Token ...`, redirects not followed."""

    speaks_http = True
    qualified = True

    def __init__(
        self, url: str, *, token: str = "", connections: int = 20, timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        address = urlsplit(url)
        secure = address.scheme == "https" or (address.scheme == "http" and address.hostname in _LOOPBACK)
        if not secure or not address.hostname:
            raise InvalidSettings("TARGET must be an ARN, or an https URL (http only on a loopback address)")
        if address.username or address.password:
            raise InvalidSettings("TARGET must not hold credentials: set SPILLWAY_TOKEN")
        if not (token.isascii() and token.isprintable()):
            raise InvalidSettings("SPILLWAY_TOKEN must be printable ASCII text")
        self.name = f"{address.scheme}://{address.netloc}{address.path}"
        self.has_token = bool(token)
        self._url = url
        self._tokens = {Token.RIGHT: token, Token.WRONG: f"{token[::-1]}x", Token.NONE: ""}
        self._http = urllib3.PoolManager(
            maxsize=connections,
            retries=False,
            timeout=urllib3.Timeout(connect=REACH_TIMEOUT_S, read=timeout_s),
        )

    def send(self, sent: Sent) -> Answer:
        headers = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}
        if token := self._tokens[sent.token]:
            headers["Authorization"] = f"Token {token}"
        started_s = time.perf_counter()
        status, payload, content_type = 0, b"", ""
        try:
            answer = self._http.request(
                sent.method, self._url, body=sent.body or None, headers=headers, redirect=False, preload_content=False
            )
            try:
                status, content_type = answer.status, answer.headers.get("Content-Type", "")
                payload = answer.read(LONGEST_ANSWER_BYTES)
            finally:
                answer.release_conn()
            ending = _ending(status)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise TargetUnavailable(f"{self.name} cannot be reached: {_cause(error)}") from None
        except urllib3.exceptions.SSLError as error:
            raise TargetUnavailable(f"{self.name} has no certificate that can be trusted: {_cause(error)}") from None
        except urllib3.exceptions.ReadTimeoutError:
            ending = Ending.TIMED_OUT
        except urllib3.exceptions.HTTPError:
            ending = Ending.NO_ANSWER
        return Answer(ending, status, payload, (time.perf_counter() - started_s) * 1000, content_type)

    def round_trip_ms(self) -> float | None:
        return _round_trip_ms(self._url)


def _ending(status: int) -> Ending:
    if 200 <= status < 300:
        return Ending.ANSWERED
    return Ending.THROTTLED if status == 429 else Ending.REFUSED


def _cause(error: Exception) -> str:
    """The failure without the address, which urllib3 puts before it."""
    return str(error).rpartition(": ")[2] or type(error).__name__


def _round_trip_ms(url: str, *, tries: int = 5, clock: Callable[[], float] = time.perf_counter) -> float | None:
    """The fastest of some TCP connections: opening one takes a round trip, and nothing of the function's time."""
    address = urlsplit(url)
    port = address.port or (443 if address.scheme == "https" else 80)
    fastest_s: float | None = None
    try:
        where = socket.getaddrinfo(address.hostname, port, type=socket.SOCK_STREAM)[0]
        for _ in range(tries):
            with socket.socket(where[0], where[1]) as connection:
                connection.settimeout(REACH_TIMEOUT_S)
                started_s = clock()
                connection.connect(where[4])
                took_s = clock() - started_s
            fastest_s = took_s if fastest_s is None else min(fastest_s, took_s)
    except OSError:  # behind a proxy, say
        return None
    return None if fastest_s is None else fastest_s * 1000
