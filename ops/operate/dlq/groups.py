"""Letters in groups: how many there are of each kind, and one letter of each to look at. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ops.operate.dlq.letters import Letter

KEYS = ("reason", "status", "error", "type", "account", "age")
USUAL = ("reason", "status", "error", "type", "account")
MOST_GROUPS = 5_000
"""The most groups; letters of further kinds are counted in one."""
KEPT_MS = 14 * 86_400_000
"""SQS's longest retention, and the dead-letter queue's: older letters are gone."""

AGES = ((3_600_000, "under 1 h"), (6 * 3_600_000, "1 to 6 h"), (86_400_000, "6 to 24 h"), (3 * 86_400_000, "1 to 3 d"))
_COUNTED = ("of", "deliver", "times", "hours", "MiB")
"""The words behind a count in an error: `for 3 of 9 deliveries`, `after 73 hours`."""


@dataclass(slots=True)
class Group:
    """Letters of a kind. Times in ms since the epoch."""

    key: tuple[str, ...]
    sample: str
    """The id of one of them."""
    count: int = 0
    oldest_ms: int = 0
    newest_ms: int = 0


class Groups:
    """Counts letters by kind."""

    def __init__(self, by: Sequence[str] = USUAL, *, now_ms: int) -> None:
        self.by, self._now_ms = by, now_ms
        self._groups: dict[tuple[str, ...], Group] = {}
        self.count = 0
        self.leaving = 0
        """Letters that SQS deletes within a day."""

    def add(self, letter: Letter) -> None:
        key = tuple(_told(letter, name, self._now_ms) for name in self.by)
        if key not in self._groups and len(self._groups) >= MOST_GROUPS:
            key = ("more",) * len(self.by)
        group = self._groups.setdefault(key, Group(key, letter.id, 0, letter.sent_ms, letter.sent_ms))
        group.count += 1
        group.oldest_ms = min(group.oldest_ms, letter.sent_ms)
        group.newest_ms = max(group.newest_ms, letter.sent_ms)
        self.count += 1
        self.leaving += self._now_ms - letter.sent_ms > KEPT_MS - 86_400_000

    def largest_first(self) -> Iterable[Group]:
        return sorted(self._groups.values(), key=lambda one: (-one.count, one.key))

    def __len__(self) -> int:
        return len(self._groups)


def kind_of(error: str) -> str:
    """An error without its counts: `HTTP 422 for 3 of 9 deliveries` is of a kind with `... 1 of 1 deliveries`."""
    words = error.split(" ")
    behind = [*words[1:], ""]
    return " ".join(
        "#" if word.isdecimal() and after.startswith(_COUNTED) else word
        for word, after in zip(words, behind, strict=True)
    )


def age_of(sent_ms: int, now_ms: int) -> str:
    return next((name for below_ms, name in AGES if now_ms - sent_ms < below_ms), "over 3 d")


def _told(letter: Letter, name: str, now_ms: int) -> str:
    match name:
        case "error":
            return kind_of(letter.error)
        case "account":
            return letter.account_id
        case "age":
            return age_of(letter.sent_ms, now_ms)
    return str(getattr(letter, name))
