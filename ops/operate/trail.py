"""`spillway trail`: who did what to a stage, when and why.

A command that changes what is live, called or queued writes a line into the state table before it acts, and the result
afterwards: one that was killed has no result. A line holds ids, counts and words, and nothing of a message; it is kept
for 400 days.
The trail is a help and no lock: if it cannot be written, the command says so and goes on.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.text import Text

from ops.console.addresses import without_addresses
from ops.console.moments import as_utc
from ops.console.screen import BAD, DIM
from ops.console.terminal import safe, say
from ops.operate.stack import Stack
from shared.errors import InvalidSettings, SpillwayError
from shared.state import TRAIL, Conflict, Item

ACT_KEPT_S = 400 * 86_400
LONGEST_WHY = 200
QUICK: Mapping[str, Any] = {"connect_timeout": 2, "read_timeout": 2, "retries": {"total_max_attempts": 2}}
"""Short time-outs, so that no rollback waits for the trail."""
UNKNOWN = "somebody unknown"
CUT_OFF = "no end: it was cut off, or is under way"


@dataclass(slots=True)
class Act:
    """One act. `what` and `result` are Spillway's words; `why` is the operator's own."""

    at_ms: int
    who: str
    what: str
    why: str = ""
    result: str = ""

    @classmethod
    def from_value(cls, value: Mapping[str, Any]) -> "Act":
        """Read an item; fields of a later version are ignored."""
        at_ms = value.get("at_ms")
        texts = {name: str(value.get(name, "")) for name in ("who", "what", "why", "result")}
        return cls(at_ms if isinstance(at_ms, int) else 0, **texts)


@contextmanager
def act(stack: Stack, what: str, *, why: str = "") -> Iterator[Act]:
    """Write down an act, and at its end the result: `result`, or, if the command sets none, whether it failed. Raises
    InvalidSettings for a `why` that is no line.
    """
    now_ms = int(time.time() * 1_000)
    noted = Act(now_ms, _caller(stack), _plain(what), checked_why(why))
    line = _Line(stack, f"{now_ms:015d}#{secrets.token_hex(4)}", now_ms // 1_000 + ACT_KEPT_S)
    line.write(noted)
    try:
        yield noted
    except BaseException as error:
        noted.result = noted.result or f"failed: {type(error).__name__}"
        raise
    else:
        noted.result = noted.result or "done"
    finally:
        noted.result = _plain(noted.result)
        line.write(noted)


def checked_why(why: str) -> str:
    """The operator's reason, as it may be kept and shown. Raises InvalidSettings if it is no line."""
    if len(why) > LONGEST_WHY or not why.isprintable():
        raise InvalidSettings(f"--why must be one line of at most {LONGEST_WHY} characters")
    return without_addresses(why.strip())


def required_why(why: str, example: str) -> str:
    """The reason, which an act that stays must have. Raises InvalidSettings."""
    if not why.strip():
        raise InvalidSettings(f"say why, for whoever finds it so later: {example}")
    return checked_why(why)


def listing(stack: Stack, *, most: int) -> list[Act]:
    """The last acts, the oldest first. Raises StackUnavailable, StateUnavailable."""
    found = asyncio.run(stack.state().listed(TRAIL))
    return [Act.from_value(found[sk].value) for sk in sorted(found)][-most:]


def as_json(acts: Sequence[Act]) -> str:
    return json.dumps({"acts": [asdict(one) for one in acts]}, indent=2)


def show(acts: Sequence[Act], console: Console) -> None:
    """Print each act: when and what, by whom and why, and its result."""
    if not acts:
        console.print("Nothing was done by hand in the last 400 days.")
    for one in acts:
        console.print(Text.assemble(f"{as_utc(one.at_ms):<16}  ", (safe(one.what), "bold")))
        why = f": {safe(one.why)}" if one.why else ""
        console.print(Text(f"                  by {safe(one.who)}{why}"))
        style = BAD if not one.result or one.result.startswith("failed") else DIM
        console.print(Text(f"                  {safe(one.result or CUT_OFF)}", style=style))


class _Line:
    """One act's item in the state table."""

    def __init__(self, stack: Stack, sk: str, expires_at: int) -> None:
        self._stack, self._sk, self._expires_at = stack, sk, expires_at
        self._item: Item | None = Item()

    def write(self, noted: Act) -> None:
        """Write the act, and once more with its result; if that fails, it is said once."""
        if self._item is None:
            return
        try:
            state = self._stack.state(**QUICK)
            value = {name: text for name, text in asdict(noted).items() if text}
            self._item = asyncio.run(state.swap(TRAIL, self._sk, self._item, value, expires_at=self._expires_at))
        except (SpillwayError, Conflict) as error:
            self._item = None
            say(f"spillway: this is not in the trail: {error}", err=True)


def _caller(stack: Stack) -> str:
    """Who acts, as AWS knows them, without the account's number."""
    try:
        arn = str(stack.client("sts", **QUICK).get_caller_identity()["Arn"])
    except (BotoCoreError, ClientError):
        return UNKNOWN
    return safe(arn.rpartition(":")[2])[:LONGEST_WHY]


def _plain(text: str) -> str:
    """The text of an act without addresses: an option may have brought an id that is an e-mail address."""
    return without_addresses(safe(text))[:LONGEST_WHY]
