"""What of a message is done already: so that a message that comes back is resumed, not repeated.

Written only for a message that must wait although something of it was answered, and read only when a message was
received before. A delivery is remembered by the start of its idempotency key. Losing progress costs a repeated
delivery, which carries the same key; it never costs a delivery.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shared.message import Message
from shared.state import Item, State, message_key

KEY_CHARS = 12
"""48 bits of the idempotency key: within one message no two deliveries share them by chance."""

MAX_KEYS = 20_000
"""DynamoDB quota, 400 KB an item. A message of more deliveries is repeated from the start."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`done`: short keys of deliveries that arrived. `refused`: short key -> why it never will.

    `attempts` are calls that were answered, `strikes` those that failed while the partner took other calls. `denials`
    are refusals of its credentials (401, 403) while others of its account were taken; `denied_ms` is the last refusal.
    """

    done: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
    attempts: int = 0
    strikes: int = 0
    denials: int = 0
    denied_ms: int = 0
    item: Item = field(default_factory=Item)

    def settles(self, key: str) -> bool:
        """Whether a delivery needs no further call."""
        return short(key) in self.done or short(key) in self.refused

    def with_(self, *, done: Collection[str], refused: Mapping[str, str], attempts: int, strikes: int) -> "Progress":
        """This progress and what an invocation adds to it; keys are whole."""
        return replace(
            self,
            done=self.done | {short(key) for key in done},
            refused={**self.refused, **{short(key): why for key, why in refused.items()}},
            attempts=self.attempts + attempts,
            strikes=self.strikes + strikes,
        )


NONE = Progress()


def short(key: str) -> str:
    return key[:KEY_CHARS]


async def read(state: State, message: Message) -> Progress:
    """What an earlier receive wrote. Raises StateUnavailable."""
    item = await state.read(message_key(message.id), message.part)
    value: Mapping[str, Any] = item.value
    return Progress(
        done=frozenset(value.get("done", ())),
        refused=dict(value.get("refused", {})),
        attempts=int(value.get("attempts", 0)),
        strikes=int(value.get("strikes", 0)),
        denials=int(value.get("denials", 0)),
        denied_ms=int(value.get("denied_ms", 0)),
        item=item,
    )


async def write(state: State, message: Message, progress: Progress, *, expires_at: int) -> None:
    """Remember it until the message can not come back any more. Raises StateUnavailable, Conflict.

    A conflict means that SQS delivered the message twice at once: what the other worker wrote is as good.
    """
    if len(progress.done) + len(progress.refused) > MAX_KEYS:
        return
    value = {
        "done": sorted(progress.done),
        "refused": dict(progress.refused),
        "attempts": progress.attempts,
        "strikes": progress.strikes,
        "denials": progress.denials,
        "denied_ms": progress.denied_ms,
    }
    await state.swap(message_key(message.id), message.part, progress.item, value, expires_at=expires_at)


async def forget(state: State, message: Message) -> None:
    """Remove what was remembered of a message that is settled. Raises StateUnavailable."""
    await state.delete(message_key(message.id), message.part)
