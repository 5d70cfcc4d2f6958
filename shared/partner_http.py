"""One HTTP call to a partner, by libcurl: what may be sent, how much of an answer is kept, when a call is given up.

The worker makes many calls at once (worker_fn/clients/http.py), ingest one while mParticle waits
(ingest_fn/partner_call.py). Both use HTTP/1.1, certificates verified against the system's roots, and no redirects,
cookies, proxies, .netrc or `Expect: 100-continue`. Once a status line was read, it decides, whatever follows it.
"""

import re
import socket
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import pycurl

from shared.http_headers import OF_THE_CLIENT

MAX_ANSWER_BYTES = 1_048_576
"""The most that is read of an answer's body: enough for the per-item results of a bulk call."""

FROZEN = "frozen"

FOR_LATER_4XX = frozenset({408, 425, 429})
"""Request Timeout, Too Early, Too Many Requests: client errors by number, but the same call may succeed later."""

MAX_HEADER_CHARS = 256
"""The most that is kept of an answer's header. libcurl itself reads 300 KB of headers at most, and 100 KB of one."""

MAX_HEAD_BYTES = 262_144
"""The most for URL and headers of a call together: no server takes more."""

MOST_KNOWN_CHARS = 1_024
"""Longer URLs, which hold a customer's data, are not remembered: 256 of the longest would fill a function's memory."""

SCHEMES = {"http": 80, "https": 443}

ABORT = -1
"""The value with which a callback ends the call."""

_QUICK_EXIT = 322
"""CURLOPT_QUICK_EXIT, which pycurl does not name: closing does not wait for a name server that does not answer."""

_OF_EVERY_CALL = {
    pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
    pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
    pycurl.HTTP09_ALLOWED: 0,
    pycurl.PATH_AS_IS: 1,
    pycurl.FOLLOWLOCATION: 0,
    pycurl.PROXY: "",  # not even that of the environment
    pycurl.NETRC: pycurl.NETRC_IGNORED,
    pycurl.ACCEPT_ENCODING: "identity",  # what is packed all the same is unpacked, up to the bound
    pycurl.SSL_VERIFYPEER: 1,
    pycurl.SSL_VERIFYHOST: 2,
    pycurl.SSLVERSION: pycurl.SSLVERSION_TLSv1_2,
    pycurl.NOSIGNAL: 1,
    _QUICK_EXIT: 1,
}

_LEFT_OUT = {"accept": b"Accept:", "content-type": b"Content-Type:", "expect": b"Expect:"}
"""Headers that libcurl adds by itself: it leaves out one that is given without a value."""

_KEPT_ALWAYS = frozenset({"date", "retry-after"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_BRACKETED = re.compile(r"\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\](:[0-9]*)?")
_LEGAL = "!#$%&'()*+,/:;=?@[]~"
"""Characters that stay as they are in a path or a query, beside letters, digits and `-._`."""

_STATUS_LINE = re.compile(rb"[A-Za-z]+(?:/[0-9.]+)? +([0-9]{3})(?![0-9])")


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a call: an HTTP answer, or a `fault`: `timeout`, `connection`, or `frozen` if this process stood
    still meanwhile, which is not the partner's fault.

    `body` never goes into a log or an error, because partners echo the data that they were sent.
    """

    status: int | None = None
    retry_after: str | None = None
    body: bytes = field(default=b"", repr=False)
    fault: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers by their names in small letters: Date, Retry-After, and those that were asked for."""
    is_whole: bool = True
    """False if the body broke off, went over the bound or could not be read: `body` is the part read until then."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call that HTTP can carry."""

    method: str
    url: str
    headers: list[bytes] = field(repr=False)
    body: bytes = field(repr=False)


def request_of(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Request:
    """Check a call before any of it is sent. Raises ValueError or TypeError for a call that HTTP cannot carry.

    Names of headers have no case: of two with the same name, the last one is sent.
    """
    if not isinstance(body, bytes):
        raise TypeError("a body is bytes")
    if not _TOKEN.fullmatch(method) or method.upper() == "CONNECT":
        raise ValueError("no method that could be called")
    by_name = {_small(name): _line(name, value) for name, value in headers.items()}
    if OF_THE_CLIENT & by_name.keys():
        raise ValueError("a header that the client writes")
    left_out = [line for name, line in _LEFT_OUT.items() if name not in by_name]
    if len(url) > MAX_HEAD_BYTES:
        raise ValueError("the URL is too long")
    checked = _known(url) if len(url) <= MOST_KNOWN_CHARS else _checked(url)
    request = Request(method.upper(), checked, [*by_name.values(), *left_out], body)
    if len(request.url) + sum(map(len, request.headers)) > MAX_HEAD_BYTES:
        raise ValueError("URL and headers are too long")
    return request


@lru_cache(maxsize=256)
def _small(name: str) -> str:
    """A header's name in small letters."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("a header's name that HTTP does not allow")
    return name.lower()


def _line(name: str, value: str) -> bytes:
    if _CONTROL_BUT_TAB.search(value):
        raise ValueError("a header's value that HTTP does not allow")
    content = value.strip(" \t")
    try:
        return (f"{name}: {content}" if content else f"{name};").encode("latin-1")  # libcurl's way to send it empty
    except UnicodeEncodeError:
        raise ValueError("a header's value that HTTP does not allow") from None


@lru_cache(maxsize=256)
def _known(url: str) -> str:
    """`_checked`, remembered: most calls go to few addresses."""
    return _checked(url)


def _checked(url: str) -> str:
    """The URL as it is sent: characters that no URL may hold are quoted, those that could forge a host refused."""
    no_url = "no URL that could be called"
    if _CONTROL.search(url):
        raise ValueError(no_url)
    try:
        address = urlsplit(url)
        host, port = address.hostname or "", address.port
        path, query = quote(address.path or "/", safe=_LEGAL), quote(address.query, safe=_LEGAL)
    except ValueError:
        raise ValueError(no_url) from None
    if address.scheme not in SCHEMES or "@" in address.netloc or not _is_host(host, address.netloc):
        raise ValueError(no_url)
    at = f"[{host}]" if ":" in host else host
    number = SCHEMES[address.scheme] if port is None else port
    shown = "" if number == SCHEMES[address.scheme] else f":{number}"
    if number == 0:
        raise ValueError(no_url)
    return f"{address.scheme}://{at}{shown}{path}" + (f"?{query}" if query else "")


def _is_host(host: str, netloc: str) -> bool:
    if "[" in netloc:
        return _BRACKETED.fullmatch(netloc) is not None
    labels = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


class Ends(NamedTuple):
    """What distinguishes a connection from all other open ones: two to different addresses may have one local port."""

    ip: str
    port: int
    local_port: int


class Exchange:
    """A libcurl handle that makes one call after another: `begin`, let `curl` be performed, `answer`, `forget`."""

    def __init__(
        self,
        *,
        connect_timeout_s: float,
        keep: frozenset[str] = frozenset(),
        ca_file: str | None = None,
        may_be_used: Callable[[Ends, Sequence[int]], bool] = lambda *_: True,
    ) -> None:
        """`connect_timeout_s` bounds reaching the partner: name, connection, certificate. `keep`: names of the answer's
        headers to keep, in small letters. `may_be_used`: whether a connection may carry a call, given the descriptors
        of those that were begun for it.
        """
        self.curl = pycurl.Curl()
        self._connect_s = connect_timeout_s
        self._keep = keep | _KEPT_ALWAYS
        self._may_be_used = may_be_used
        self._forget_answer()
        of_all_its_calls = {
            **_OF_EVERY_CALL,
            pycurl.SOCKOPTFUNCTION: self._open,
            pycurl.PREREQFUNCTION: self._check,
            pycurl.HEADERFUNCTION: self._hear,
            pycurl.WRITEFUNCTION: self._read,
            **_trust(ca_file),
        }
        for option, value in of_all_its_calls.items():
            self.curl.setopt(option, value)

    @property
    def is_answered(self) -> bool:
        """Whether any byte came back, even of an interim answer."""
        return self._status is not None

    def begin(self, request: Request, *, timeout_s: float) -> None:
        """Set up the call. `timeout_s` bounds it as a whole, even if an answer drips in."""
        setopt = self.curl.setopt
        setopt(pycurl.URL, request.url)
        setopt(pycurl.HTTPHEADER, request.headers)
        setopt(pycurl.TIMEOUT_MS, _ms(timeout_s))
        setopt(pycurl.CONNECTTIMEOUT_MS, _ms(min(self._connect_s, timeout_s)))
        if request.method == "HEAD" or (request.method == "GET" and not request.body):
            setopt(pycurl.HTTPGET, 1)
        else:
            setopt(pycurl.POSTFIELDS, request.body)
        setopt(pycurl.NOBODY, int(request.method == "HEAD"))
        setopt(pycurl.CUSTOMREQUEST, request.method)

    def forget(self) -> None:
        """Let go of the call, which has credentials in it, and of its answer."""
        self._forget_answer()
        self.curl.setopt(pycurl.URL, "")
        self.curl.unsetopt(pycurl.HTTPHEADER)
        self.curl.setopt(pycurl.POSTFIELDS, b"")

    def close(self) -> None:
        """End the handle, and the credentials in it, at once: it and its callbacks refer to each other, so otherwise
        only the garbage collector would.
        """
        self.curl.close()

    def _forget_answer(self) -> None:
        self._status: int | None = None
        self._in_head = True
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self.opened: list[int] = []
        """Descriptors of the connections that were begun for it: several if a name has several addresses."""
        self.is_refused = False
        """Whether `_check` refused a connection that the call might have used."""
        self.went_over: Ends | None = None
        """The connection that carried the last call."""

    def answer(self, failure: pycurl.error | None) -> Answer:
        """The result of the call; `failure` is libcurl's error, None if the answer was read to its end. Raises
        ValueError for a URL that libcurl cannot read.
        """
        if failure is not None and failure.args[0] == pycurl.E_URL_MALFORMAT:
            raise ValueError("no URL that could be called")
        if self._status is None or self._status < 200:
            timed_out = failure is not None and failure.args[0] == pycurl.E_OPERATION_TIMEDOUT
            return Answer(fault="timeout" if timed_out else "connection")
        is_whole = failure is None and not self._in_head
        headers = self._headers
        return Answer(self._status, headers.get("retry-after"), bytes(self._body), headers=headers, is_whole=is_whole)

    def _open(self, descriptor: int, _purpose: int) -> int:
        """Give a connection up if sent bytes are not acknowledged within the time for opening a connection: then the
        other end, or a proxy between, has dropped it. A partner that is merely slow does acknowledge.
        """
        self.opened.append(descriptor)
        if sys.platform == "linux":
            connection = socket.socket(fileno=descriptor)
            try:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _ms(self._connect_s))
            finally:
                connection.detach()
        return int(pycurl.SOCKOPT_OK)

    def _check(self, ip: str, _local_ip: str, port: int, local_port: int) -> int:
        """Refuse a connection before a byte of the call is sent on it."""
        connection = Ends(ip, port, local_port)
        if self._may_be_used(connection, self.opened):
            self.went_over = connection
            return int(pycurl.PREREQFUNC_OK)
        self.is_refused = True
        return int(pycurl.PREREQFUNC_ABORT)

    def _hear(self, line: bytes) -> int | None:
        """Take a line of the answer's head. An interim answer's (1xx) is forgotten at the next status line."""
        if not self._in_head:
            return None  # a trailer
        if self._status is None or self._status < 200:
            said = _STATUS_LINE.match(line)
            if said is not None:
                self._status, self._headers = int(said[1]), {}
                return ABORT if self._status == 101 else None  # a protocol that nobody asked for
            if self._status is None:
                return ABORT
        if line in (b"\r\n", b"\n"):
            self._in_head = self._status is not None and self._status < 200
            return None
        name, colon, value = line.decode("latin-1").partition(":")
        name = name.strip().lower()
        if colon and name in self._keep:
            before = self._headers.get(name)
            value = value.strip()
            self._headers[name] = (value if before is None else f"{before}, {value}")[:MAX_HEADER_CHARS]
        return None

    def _read(self, chunk: bytes) -> int | None:
        room = MAX_ANSWER_BYTES - len(self._body)
        self._body += chunk[:room]
        return None if len(chunk) <= room else ABORT


def call(request: Request, *, timeout_s: float) -> Answer:
    """Make one call on a connection of its own, and wait for it. Never raises for the network."""
    exchange, failure = Exchange(connect_timeout_s=timeout_s), None
    try:
        exchange.begin(request, timeout_s=timeout_s)
        exchange.curl.setopt(pycurl.FORBID_REUSE, 1)
        exchange.curl.perform()
    except pycurl.error as error:
        failure = error
    finally:
        exchange.close()
    return exchange.answer(failure)


def is_for_later(status: int) -> bool:
    """Whether the same call may succeed later: the partner is busy, limits its callers, or is down."""
    return status in FOR_LATER_4XX or status >= 500


@cache
def _system_roots() -> dict[int, str]:
    """The place of the roots that this machine trusts; SSL_CERT_FILE and SSL_CERT_DIR override it, as for Python's ssl.

    The libcurl of the wheel was built for another system's folders.
    """
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return {pycurl.CAINFO: paths.cafile}
    return {pycurl.CAPATH: paths.capath} if paths.capath else {}


def _ms(seconds: float) -> int:
    """Milliseconds for libcurl, at least 1 because 0 means no bound."""
    return max(1, int(1_000 * seconds))


def _trust(ca_file: str | None) -> dict[int, str]:
    return {pycurl.CAINFO: ca_file} if ca_file else _system_roots()
