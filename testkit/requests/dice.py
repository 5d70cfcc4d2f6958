"""The random draws for a request: the seed decides all of them, the time too."""

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Json = dict[str, Any]
T = TypeVar("T")

FIRST_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z in milliseconds; each seed starts one minute after the one before."""
MINUTE_MS = 60_000

WORDS = (
    "bicycle",
    "Größe 42",
    "naïve",
    "자전거",
    "велосипед",
    "😀 👩‍🚀",
    "دراجة",
    'a "quoted" word',
    "tab\tand\nline",
    "back\\slash/slash",
    "<b>&amp;</b>",
    "0042",
    "-0",
    "null",
    " two  blanks ",
    "\u00a0",
)
KEYS = ("colour", "size", "$Age", "plan.tier", "größe", "源", "with space", "a/b", "count")


class Dice:
    """The draws of one request. `settings` are account settings beside the usual ones."""

    def __init__(self, kind: str, seed: int, settings: Mapping[str, str]) -> None:
        self.settings = settings
        self.seed = seed
        self.random = random.Random(f"{kind}/{seed}")  # noqa: S311 - test data, not secrets
        self.now_ms = FIRST_MS + seed * MINUTE_MS + self.random.randrange(MINUTE_MS)

    def turn(self, choices: Sequence[T]) -> T:
        """Goes round with the seed."""
        return choices[self.seed % len(choices)]

    def pick(self, choices: Sequence[T]) -> T:
        return self.random.choice(choices)

    def some(self, make: Callable[[], T], least: int, most: int) -> list[T]:
        return [make() for _ in range(self.random.randint(least, most))]

    def chance(self) -> bool:
        return self.random.random() < 0.5

    def word(self) -> str:
        return self.random.choice(WORDS)

    def digits(self, count: int) -> str:
        return str(self.random.randrange(10 ** (count - 1), 10**count))

    def hexadecimal(self, count: int) -> str:
        return f"{self.random.getrandbits(4 * count):0{count}x}"

    def amount(self) -> int | float:
        return self.pick((self.random.randint(0, 500), self.random.randint(1, 99_999) / 100))

    def int64(self) -> int:
        """Signed, mostly beyond the 2^53 that a double can hold."""
        return self.random.randint(-(2**63), 2**63 - 1)

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))
