"""Who may call the Function URL: whoever has one of its tokens, which are kept in SSM or Secrets Manager.

There may be two, the old and the new one, so that a token can be changed while mParticle goes on sending. They are read
again after some minutes, and sooner when a caller shows an unknown one: it may be new. Without an answer from the store
an unknown token is not accepted, but answered with 503, not 401: mParticle repeats a request for a while after 503, and
drops it after 401.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable

from ingest_fn.store import read
from shared.aws_http import AwsHttp
from shared.errors import TokensUnavailable
from shared.stored import Reference, Unreadable
from shared.telemetry import log

FRESH_S = 300.0
"""How long tokens are used before they are read again; after this time every environment knows a change."""
STALE_S = 3_600.0
"""How long tokens stay in use if the store does not answer."""
ASK_AGAIN_S = 10.0
"""An unknown token makes ingest read the store, but only once in this time: not every one may cause a call."""
FAILED_S = 1.0
"""The same after a failed first try: until one succeeds every call that needs a token is answered with 503."""
MOST_TOKENS = 2
TOKEN = re.compile(r"[!-~]{16,512}")
"""A token is too long to guess, and of characters that a header carries as they are. mParticle makes it, so its form is
not checked further.
"""


class Tokens:
    """The tokens as this environment read them last: their digests alone are kept."""

    def __init__(self, store: AwsHttp, reference: Reference, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._reference = reference
        self._service = reference.service
        self._clock = clock
        self._digests: tuple[bytes, ...] = ()
        self._read_s = float("-inf")
        self._failed_s = float("-inf")
        self._problem = ""

    def know(self, token: str) -> bool:
        """Whether a text is one of the tokens, in a time that does not depend on it. Raises TokensUnavailable when that
        cannot be told.
        """
        self._refresh(older_than_s=FRESH_S)
        if self._clock() - self._read_s > STALE_S:
            raise TokensUnavailable(f"the tokens cannot be read from {self._service}: {self._problem}")
        digest = _digest(token)
        if self._has(digest):
            return True
        self._refresh(older_than_s=ASK_AGAIN_S)
        if self._clock() - self._read_s > FRESH_S:  # an old list can still admit a token, but no longer refuse one
            raise TokensUnavailable(f"the tokens cannot be read anew from {self._service}: {self._problem}")
        return self._has(digest)

    def _has(self, digest: bytes) -> bool:
        found = [hmac.compare_digest(digest, known) for known in self._digests]  # a list: all are compared
        return True in found

    def _refresh(self, *, older_than_s: float) -> None:
        now_s = self._clock()
        pause_s = ASK_AGAIN_S if self._digests else FAILED_S
        if now_s - self._read_s < older_than_s or now_s - self._failed_s < pause_s:
            return
        try:
            found = self._read()
        except TokensUnavailable as error:
            self._failed_s, self._problem = self._clock(), str(error)
            # Also while the tokens read before stay in use: an operator has an hour to mend the store.
            log("WARNING", "the tokens could not be read", service="ingest", error=self._problem)
            return
        self._digests, self._read_s = found, self._clock()

    def _read(self) -> tuple[bytes, ...]:
        try:
            return _digests(read(self._store, self._reference))
        except Unreadable as error:
            raise TokensUnavailable(str(error)) from None


def _digests(value: str) -> tuple[bytes, ...]:
    tokens = value.split()
    if not 0 < len(tokens) <= MOST_TOKENS or not all(TOKEN.fullmatch(token) for token in tokens):
        raise TokensUnavailable(
            "what is kept there must be one token or two, with a space between them, each of 16 to 512 "
            "characters of ASCII"
        )
    return tuple(map(_digest, tokens))


def _digest(token: str) -> bytes:
    """A digest, which has the same length for every token, so that comparing does not reveal a token's either."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
