"""Idempotency-Keys: a repeated call has the same key, whichever worker makes it and whenever."""

import hashlib
from collections import Counter
from urllib.parse import urlsplit


class Places:
    """Tells the calls of one request apart, in the order in which they are made: by endpoint, item, and which of those
    with both alike it is.
    """

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()

    def next(self, method: str, url: str, item: str) -> tuple[str, str, str]:
        """The place of the next call."""
        endpoint = f"{method} {urlsplit(url).path}"
        self._seen[endpoint, item] += 1
        return endpoint, item, str(self._seen[endpoint, item])


def key_of(*parts: str) -> str:
    """Make a call's key from its request and its place in it."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
