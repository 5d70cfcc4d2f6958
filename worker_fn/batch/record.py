"""What SQS says of a message. A value of another type than it should have counts as missing."""

from collections.abc import Mapping
from typing import Any


class Record:
    """A record as Lambda hands it over: `raw`."""

    __slots__ = ("_attributes", "_said", "group", "message_id", "raw", "receives", "was_dead")

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        attributes, said = raw.get("attributes"), raw.get("messageAttributes")
        self._attributes = attributes if isinstance(attributes, dict) else {}
        self._said = said if isinstance(said, dict) else {}
        self.message_id = str(raw.get("messageId") or "")
        self.group = str(self.attribute("MessageGroupId") or "")
        """Its group in a FIFO queue."""
        self.receives = self.number("ApproximateReceiveCount", 2)
        """How often it was received; if that is unknown, two, because a worker may have worked on it before."""
        self.was_dead = "reason" in self._said
        """Whether an operator redrove it: a dead letter keeps its reason."""

    @property
    def redriven_ms(self) -> int:
        """When it was last redriven, but never after it was sent here; 0 if it was not."""
        said = self.said("redriven_ms")
        if not (said.isascii() and said.isdecimal() and len(said) < 16):
            return 0
        return min(int(said), self.number("SentTimestamp", int(said)))

    def said(self, name: str) -> str:
        """A message attribute, if it is a text."""
        one = self._said.get(name)
        text = one.get("stringValue") if isinstance(one, dict) else None
        return text if isinstance(text, str) else ""

    def number(self, name: str, otherwise: int) -> int:
        """One of SQS's own attributes that is a number, all of which are short digits."""
        text = self.attribute(name)
        return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 20 else otherwise

    def attribute(self, name: str) -> object:
        """One of SQS's own attributes."""
        return self._attributes.get(name)
