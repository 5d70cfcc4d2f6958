"""One request and its answer, as every check looks at them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""mParticle repeats a request only after these HTTP statuses (its guide for HTTP)."""

_SHOWN_CHARS = 120


class Token(StrEnum):
    """The Authorization header of an HTTP request; an invocation by ARN has none."""

    RIGHT = "right"
    NONE = "none"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request ready to be sent. `label` names it in a finding: `events from roku`."""

    label: str
    body: bytes = field(repr=False)
    request: Mapping[str, Any] = field(default_factory=dict, repr=False)
    token: Token = Token.RIGHT
    method: str = "POST"

    @classmethod
    def of(cls, label: str, request: Any, token: Token = Token.RIGHT) -> "Sent":
        """Write a request as mParticle does: UTF-8, non-ASCII as it is."""
        body = json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(label, body, request if isinstance(request, dict) else {}, token)

    @property
    def kind(self) -> str:
        return str(self.request.get("type", ""))


class Ending(StrEnum):
    ANSWERED = "answered"
    """The function returned; by HTTP, with a 2xx."""
    FUNCTION_ERROR = "function error"
    THROTTLED = "throttled"
    REFUSED = "refused"
    """An HTTP status other than 2xx, or Lambda itself did not take the invocation."""
    TIMED_OUT = "timed out"
    NO_ANSWER = "no answer"
    """The connection broke."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is HTTP's (0 where there was none), `ms` the time from sending to the last byte, at the caller."""

    ending: Ending
    status: int
    payload: bytes = field(repr=False)
    ms: float
    content_type: str = ""

    def json(self) -> Any:
        """The payload as JSON; None if it is none."""
        try:
            return json.loads(self.payload)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Exchange:
    sent: Sent
    answer: Answer

    @property
    def accepted(self) -> bool:
        """Whether mParticle takes the request for received: then it does not repeat it, even if the answer is wrong."""
        return self.answer.ending is Ending.ANSWERED

    @property
    def ending(self) -> str:
        """How it ended, in words that fit behind a label; without the error's text, which may quote secrets."""
        answer = self.answer
        if answer.ending is Ending.FUNCTION_ERROR:
            found = answer.json()
            kind = found.get("errorType") if isinstance(found, dict) else None
            return f"the function raised {str(kind)[:_SHOWN_CHARS]}" if kind else "the function failed"
        if answer.ending is Ending.TIMED_OUT:
            return f"no answer within {answer.ms / 1000:.0f} s" if answer.ms >= 1000 else "it ran out of time"
        if answer.ending is Ending.NO_ANSWER:
            return "the connection broke"
        if answer.ending is Ending.THROTTLED:
            return "throttled, status 429"
        return f"status {answer.status}"
