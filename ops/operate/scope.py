"""Whose calls an item of the state table is about, and its key."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote

from ops.console.terminal import safe
from shared.state import PARTNER, account_key


@dataclass(frozen=True, slots=True)
class Scope:
    """Everybody's calls, an account's, or an account's to one bulk endpoint with a rate of its own."""

    account_id: str | None = None
    endpoint: str | None = None

    @property
    def key(self) -> str:
        return PARTNER if self.account_id is None else account_key(self.account_id, self.endpoint)

    @property
    def name(self) -> str:
        if self.account_id is None:
            return "everybody"
        return f"account {safe(self.account_id)}" + (f" at {safe(self.endpoint)}" if self.endpoint else "")

    @classmethod
    def of_key(cls, key: str) -> Self:
        account_id, _, endpoint = key.removeprefix(account_key("")).partition("#")
        return cls() if key == PARTNER else cls(unquote(account_id), endpoint or None)


EVERYBODY = Scope()
