"""A URL that can be called, in the form that goes over the wire: ASCII, its host's name in punycode. Pure.

    callable_url("HTTPS://Bücher.example/ö")    "https://xn--bcher-kva.example/%C3%B6"
    callable_url("https://hook..example")       ValueError("has a host with an empty label ...")

A parser would accept the URLs that are refused here; each call would then fail, or reach another host than it names.
"""

import ipaddress
import re
from urllib.parse import quote, unquote, urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that may be called by http: a partner on this machine, in tests and in the demo."""

MOST_LABEL, MOST_HOST = 63, 253
"""Characters of a label and of a host name, DNS's limits (RFC 1035)."""

_NO_PART_OF_A_URL = re.compile(r'[\x00-\x20\x7f-\xa0\\<>"{}|^`\u2028\u2029]')
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[^:]*)?")
_PORT = re.compile(r"[0-9]{1,5}")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
"""What separates labels: IDNA counts the full stops of East Asian scripts as dots (RFC 3490, 3.1)."""
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SPELLED_TWO_WAYS = frozenset("ßς\u200c\u200d" + "\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""The older and the newer IDNA make different names of these (RFC 5894, 7.2), the last ones being invisible marks, so
it is not known which name is meant.
"""
_NOBODYS = tuple(map(ipaddress.ip_network, ("0.0.0.0/8", "fd00:ec2::/32")))
"""`This network` (RFC 1122), and the IPv6 network in which AWS serves a machine's own keys and clock."""
_KEPT = "!#$%&'()*+,-./:;=?@_~"
"""Characters besides letters and digits that stay as they are in a path or query; `[` and `]` only in a query."""


def callable_url(text: str) -> str:
    """Raises ValueError: what is wrong, as the end of a sentence about it, without any part of the URL."""
    if _NO_PART_OF_A_URL.search(text):
        raise ValueError("has a space, a line break or another character that no URL may have")
    try:
        address = urlsplit(text)
    except ValueError:
        raise ValueError("can not be read as a URL") from None
    # `netloc` is what stands behind the two slashes; without them there is no host.
    host, port = _host_and_port(address.netloc)
    if address.scheme != "https" and not (address.scheme == "http" and host in LOOPBACK):
        raise ValueError("must be an https URL (http only on a loopback address)")
    if "#" in text:
        raise ValueError("must not have a fragment (#): it is never sent")
    path, query = _quoted(address.path, _KEPT), _quoted(address.query, _KEPT + "[]")
    if any(step in {".", ".."} for step in map(unquote, path.split("/"))):
        raise ValueError("must not have a step of dots in its path: it leads to another place than it says")
    shown = f"[{host}]" if ":" in host else host
    asked = "?" + query if "?" in text else ""
    return f"{address.scheme}://{shown}{'' if port is None else f':{port}'}{path}{asked}"


def _host_and_port(netloc: str) -> tuple[str, int | None]:
    if "@" in netloc:
        raise ValueError("must not hold credentials: they belong into the account settings")
    parts = _AUTHORITY.fullmatch(netloc)
    if not netloc or parts is None or not parts[1]:
        raise ValueError("must be an https URL with a host (http only on a loopback address)")
    port = parts[2][1:] if parts[2] else None
    if port is not None and not (_PORT.fullmatch(port) and 0 < int(port) <= 65_535):
        raise ValueError("must have a port from 1 to 65535, or none")
    return callable_host(parts[1]), None if port is None else int(port)


def callable_host(text: str) -> str:
    """The host as it is looked up: a name in punycode, or an address (IPv6 without its brackets). Raises ValueError."""
    if text.startswith("["):
        try:
            return _public(ipaddress.IPv6Address(text[1:-1]))
        except ipaddress.AddressValueError:
            raise ValueError("has an IPv6 address that is none") from None
    labels = [_ascii(label) for label in _DOTS.split(text)]
    if not all(labels):
        raise ValueError("has a host with an empty label (two dots, or one at an end)")
    for label in labels:
        if len(label) > MOST_LABEL:
            raise ValueError(f"has a host with a label of over {MOST_LABEL} characters")
        if not _LABEL.fullmatch(label):
            raise ValueError("has a host with a character that no name of a host may have, or a hyphen at an end")
        if label.startswith("xn--") and not _is_punycode(label):
            raise ValueError("has a host with a label that begins with xn-- and is no punycode")
    host = ".".join(labels)
    if len(host) > MOST_HOST:
        raise ValueError(f"has a host of over {MOST_HOST} characters")
    if _NUMBER.fullmatch(labels[-1]):  # no name ends with a number: `127.1` and `2130706433` are read as addresses
        try:
            return _public(ipaddress.IPv4Address(host))
        except ipaddress.AddressValueError:
            raise ValueError("has an IPv4 address that is not four numbers from 0 to 255") from None
    return host


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An address that a partner can have. Link-local ones are the machine's own, where AWS serves its role's keys."""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError("has an IPv6 address with a zone, which names an interface of one machine")
    plain = getattr(address, "ipv4_mapped", None) or address
    is_nobodys = plain.is_link_local or plain.is_unspecified or plain.is_multicast or plain.is_reserved
    if (is_nobodys and not plain.is_loopback) or any(plain in network for network in _NOBODYS):
        raise ValueError("has an address that can be no partner's: a machine's own (link-local), or a reserved one")
    return str(address)


def _ascii(label: str) -> str:
    """A label in small letters, an international one in punycode by the IDNA that Python brings (RFC 3490)."""
    if label.isascii():
        return label.lower()
    import stringprep  # noqa: PLC0415 - these tables are for the few hosts that need them
    import unicodedata  # noqa: PLC0415
    from encodings import idna  # noqa: PLC0415

    try:
        written, prepared = idna.ToASCII(label).decode("ascii").lower(), idna.nameprep(label)
    except UnicodeError:
        raise ValueError("has a host that is no international name: write it as punycode (xn--...)") from None
    # The newer IDNA goes by today's Unicode, this one by 3.2; where they could differ only punycode is plain.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    is_plain = prepared == folded and not any(
        sign in _SPELLED_TWO_WAYS or stringprep.in_table_a1(sign) for sign in label
    )
    if not is_plain:
        raise ValueError("has an international name that can be read in two ways: write its host as punycode (xn--...)")
    return written


def _is_punycode(label: str) -> bool:
    try:
        name = label[4:].encode("ascii").decode("punycode")
        return not name.isascii() and name.isprintable() and name.encode("punycode").decode("ascii") == label[4:]
    except (UnicodeError, ValueError, OverflowError):
        return False


def _quoted(text: str, kept: str) -> str:
    """Percent-encode characters that are not ASCII, as UTF-8; encoded ones stay."""
    if _BROKEN_ESCAPE.search(text):
        raise ValueError("has a % that two hexadecimal digits do not follow")
    try:
        return quote(text, safe=kept)
    except UnicodeEncodeError:
        raise ValueError("has a character that can not be written in UTF-8") from None
