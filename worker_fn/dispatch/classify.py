"""What an answer means: the one place where status codes are judged. Pure."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

from shared.partner_http import is_for_later
from worker_fn.clients.http import FROZEN, Answer
from worker_fn.limits.ruling import Because


class Verdict(Enum):
    """How a delivery stands after an answer."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """Not now: the partner limits us, is down, or did not answer."""
    UNAUTHORIZED = "unauthorized"
    """401, 403: the customer's credentials are wrong, for all of this account's messages."""
    REJECTED = "rejected"
    """The partner will never take this delivery as it is."""
    UNSENDABLE = "unsendable"
    """The partner's code made a call that HTTP cannot carry: it never left."""
    UNREADABLE = "unreadable"
    """The call arrived, but the partner's code cannot read the answer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` is the partner's, None without an answer; `error` names in a word what came instead of success."""

    verdict: Verdict
    status: int | None = None
    error: str | None = None
    retry_after_s: float | None = None
    because: Because | None = None
    """Why no call was made; None if one was."""
    is_of_account: bool = False
    """No call was made because of the account's own limit: that of `endpoint`, if it is a bulk endpoint."""
    endpoint: str | None = None
    wait_until_ms: int = 0
    """If no call was made: when to ask again."""
    items: "tuple[Outcome | None, ...] | None" = None
    """What the answer said about each item of the call; None for one that is to be sent again at once."""
    is_of_item: bool = False
    """The answer named this item."""

    def of_each(self, count: int) -> "Sequence[Outcome | None]":
        """The outcome of each of a call's items."""
        return self.items or (self,) * count

    @property
    def is_about_the_call(self) -> bool:
        """Whether the call counts as an attempt: made, not pushed back, and not cut short because our process froze."""
        if self.because is not None or self.error == FROZEN:
            return False
        return self.status != 429 or self.is_of_item


ABSURD_RETRY_AFTER_S = 7 * 24 * 3_600.0
"""A Retry-After of over a week is a mistake, not a wish: nobody obeys it."""

NO_END_S = 1e12
"""Larger numbers of seconds are read as this one, which is over a week as well."""

_NUMBER = re.compile(r"\+?[0-9]+(\.[0-9]*)?")


def classify(answer: Answer, *, now_s: float) -> Outcome:
    """Judge an answer; `now_s` (epoch seconds) turns a Retry-After date into seconds."""
    status = answer.status
    if status is None:
        return Outcome(Verdict.RETRY, error=answer.fault or "connection")
    if 200 <= status < 300:
        return Outcome(Verdict.DELIVERED, status)
    error = f"HTTP {status}"
    if is_for_later(status):
        asked_s = retry_after_s(answer.retry_after, now_s=now_s)
        absurd = asked_s is not None and asked_s > ABSURD_RETRY_AFTER_S
        return Outcome(Verdict.RETRY, status, error, None if absurd else asked_s)
    if status in {401, 403}:
        return Outcome(Verdict.UNAUTHORIZED, status, error)
    return Outcome(Verdict.REJECTED, status, error)


def retry_after_s(header: str | None, *, now_s: float) -> float | None:
    """Seconds that a Retry-After header asks for, rounded up; None if it is absent or cannot be read. Never raises.

    HTTP has whole seconds or a date. A plus sign and a fraction are read as well, and the largest of several numbers.
    """
    text = (header or "").strip()
    numbers = [part.strip() for part in text.split(",")]
    if all(_NUMBER.fullmatch(number) for number in numbers):
        return max(float(math.ceil(min(float(number), NO_END_S))) for number in numbers)
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.fromtimestamp(now_s, UTC)).total_seconds())
    except Exception:  # a partner may send anything, and a parser may raise anything for it
        return None
