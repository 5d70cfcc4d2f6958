"""Filters for letters; a command acts on everything that matches."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from ops.console.moments import moment_of
from ops.console.terminal import safe
from ops.operate.dlq.letters import NO_REASON, OTHER, REASONS, Letter
from shared.errors import InvalidSettings
from shared.message import QUEUED_TYPES, SHORT_TYPES

_STATUS = re.compile(r"[0-9]{3}")
UNTOLD = frozenset({"-", OTHER})
"""How a missing status or type of a letter is shown, and one that Spillway does not write."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A letter has to match every field that is set, and one of the values of each."""

    ids: Collection[str] = frozenset()
    """Ids of letters, or of the requests that they are a part of."""
    reasons: Collection[str] = frozenset()
    statuses: Collection[str] = frozenset()
    accounts: Collection[str] = frozenset()
    types: Collection[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None
    where: str = field(default="", repr=False)
    """A JMESPath expression on mParticle's request. It may name a person, so no text that is kept has it."""

    def __post_init__(self) -> None:
        """Raises InvalidSettings for values that no letter can have: otherwise a typing error would match nothing."""
        _check("--reason", self.reasons, {*REASONS, NO_REASON, OTHER})
        _check("--type", self.types, {*SHORT_TYPES.values(), *QUEUED_TYPES, *UNTOLD})
        for one in set(self.statuses) - UNTOLD:
            if not _STATUS.fullmatch(one):
                raise InvalidSettings(f"--status is the partner's, of three digits, 422 say: not {safe(one)!r}")
        if self.since_ms is not None and self.until_ms is not None and self.until_ms < self.since_ms:
            raise InvalidSettings("--until must be later than --since: 2h is earlier than 1h")
        if self.where:
            _compiled(self.where)

    def matches(self, letter: Letter) -> bool:
        """Whether a letter matches. One that cannot be read matches no `where`."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.statuses or letter.status in self.statuses)
            and (self.since_ms is None or letter.sent_ms >= self.since_ms)
            and (self.until_ms is None or letter.sent_ms <= self.until_ms)
            and (not self.types or _is_type(letter.type, self.types))
            and (not self.accounts or letter.account in self.accounts)
            and (not self.ids or letter.id in self.ids or letter.request_id in self.ids)
            and (not self.where or _fits(letter, self.where))
        )

    def said(self) -> str:
        """The filter in words, for the plan and the trail: its values, but of `where` only that there is one."""
        named = (
            ("reason", self.reasons), ("status", self.statuses), ("account", self.accounts),
            ("type", self.types), ("id", self.ids),
        )  # fmt: skip
        parts = [f"{name} {_some(values)}" for name, values in named if values]
        parts += [f"since {_moment(self.since_ms)}"] if self.since_ms else []
        parts += [f"until {_moment(self.until_ms)}"] if self.until_ms is not None else []
        parts += ["where …"] if self.where else []
        return ", ".join(parts) or "all letters"


def _check(option: str, named: Collection[str], known: Collection[str]) -> None:
    if unknown := sorted(set(named) - set(known)):
        raise InvalidSettings(f"{option} is one of {', '.join(sorted(known))}: not {safe(unknown[0])!r}")


def _is_type(kind: str, named: Collection[str]) -> bool:
    return kind in named or SHORT_TYPES.get(kind, kind) in named


def _some(values: Collection[str], most: int = 3) -> str:
    named = sorted(values)
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return "/".join(named[:most]) + more


def _moment(at_ms: int) -> str:
    moment = moment_of(at_ms)
    return "the end of time" if moment is None else f"{moment:%Y-%m-%d %H:%M:%SZ}"


def _compiled(expression: str) -> Any:
    try:
        return jmespath.compile(expression)
    except JMESPathError as error:
        what = str(error).partition("\n")[0]
        raise InvalidSettings(f"--where is no JMESPath expression: {what}") from None
    except (RecursionError, ValueError):  # its parser calls itself, and reads an index as an int of any length
        raise InvalidSettings("--where is no JMESPath expression: it is too deep, or a number in it too long") from None


def _fits(letter: Letter, expression: str) -> bool:
    """Whether JMESPath takes a value for true: null, false, and empty values are not."""
    if letter.message is None:
        return False
    try:
        found = _compiled(expression).search(_floats(letter.message.payload))
    except (JMESPathError, RecursionError, ValueError, TypeError, ArithmeticError):  # of a kind that it does not expect
        return False
    return found is not None and found is not False and found not in ("", [], {})


def _floats(value: Any) -> Any:
    """The same JSON with the number types that JMESPath knows."""
    if isinstance(value, dict):
        return {name: _floats(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_floats(one) for one in value]
    return float(value) if isinstance(value, Decimal) else value
