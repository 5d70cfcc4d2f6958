"""A version of each function: the two that are live together."""

import re
from dataclasses import dataclass

from shared.errors import SpillwayError

VERSION_NUMBER = re.compile(r"[1-9][0-9]*")


class UnknownVersion(SpillwayError):
    """A version that was asked for is not a number, or the function has none of that number."""


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """Version numbers as Lambda gives them, each function counting its own."""

    ingest: int
    worker: int

    def __str__(self) -> str:
        """Return the form that `--to` takes."""
        if self.ingest == self.worker:
            return str(self.ingest)
        return f"ingest={self.ingest},worker={self.worker}"


def read_pair(text: str) -> Pair:
    """Read `7`, version 7 of both functions, or `ingest=7,worker=9`. Raises UnknownVersion."""
    if VERSION_NUMBER.fullmatch(text.strip()):
        return Pair(int(text), int(text))
    named = dict(part.strip().partition("=")[::2] for part in text.split(","))
    if set(named) == {"ingest", "worker"} and all(VERSION_NUMBER.fullmatch(number) for number in named.values()):
        return Pair(int(named["ingest"]), int(named["worker"]))
    raise UnknownVersion(f'--to is "{text}"; it is a version number, or one for each (ingest=1,worker=1)')
