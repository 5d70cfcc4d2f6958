"""The roots that AWS's endpoints are checked against: Amazon's own first, out of those that this machine trusts.

Reading all roots of a machine, some 145, takes a sixth of ingest's cold start; Amazon's four take a tenth of that
(docs/adr/0052-lean-ingest.md). No root is trusted that the machine does not trust.
"""

import binascii
import ssl
from functools import lru_cache

_AMAZON = b"Amazon"
"""Stands as text in the names of a certificate of Amazon Trust Services, which signs for AWS's endpoints."""
_BEGIN, _END = b"\n-----BEGIN CERTIFICATE-----", b"\n-----END CERTIFICATE-----"
"""Each must stand on a line of its own: OpenSSL does not read a certificate behind a `#` either."""


@lru_cache(maxsize=1)
def amazons_roots() -> ssl.SSLContext:
    """Trusts only Amazon's roots, or all if the machine keeps no file of roots or Amazon's are not in it."""
    bundle = ssl.get_default_verify_paths().cafile  # SSL_CERT_FILE names another one
    try:
        found = _amazons(bundle) if bundle else b""
        return ssl.create_default_context(cadata=found) if found else all_roots()
    except (OSError, ValueError):  # no file that can be read, or one that holds something else
        return all_roots()


@lru_cache(maxsize=1)
def all_roots() -> ssl.SSLContext:
    """Trusts whatever this machine trusts."""
    return ssl.create_default_context()


def _amazons(bundle: str) -> bytes:
    """Amazon's certificates in a file of PEM blocks, as DER, one after the other. Raises ValueError for a malformed
    block: then OpenSSL is asked, which trusts less.
    """
    with open(bundle, "rb") as file:  # noqa: PTH123 - pathlib is not loaded otherwise
        blocks = (b"\n" + file.read()).split(_BEGIN)[1:]
    certificates = [_der(block) for block in blocks]
    return b"".join(one for one in certificates if _AMAZON in one)


def _der(block: bytes) -> bytes:
    text, ends, _ = block.partition(_END)
    if not ends:
        raise ValueError("a block without an end")
    return binascii.a2b_base64(text.translate(None, b"\r\n"), strict_mode=True)
