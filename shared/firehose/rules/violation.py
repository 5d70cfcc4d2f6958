"""What a rule finds, and how rules read JSON of unknown shape: a value of a wrong type counts as absent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

EVENTS = "event_processing_registration"
AUDIENCES = "audience_processing_registration"
ERASURES = "dsr_processing_registration"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong. `rule` is stable; `where` is the field's path, "" for the registration itself.

    A warning is advice: it refuses neither a declaration nor a deploy.
    """

    rule: str
    where: str
    problem: str
    mend: str
    is_warning: bool = False

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.problem} {self.mend}"


def object_of(holder: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """The object under `field`; an empty one if there is none."""
    found = holder.get(field)
    return found if isinstance(found, Mapping) else {}


def has_object(holder: Mapping[str, Any], field: str) -> bool:
    """Whether there is an object under `field`."""
    return isinstance(holder.get(field), Mapping)


def _list(holder: Mapping[str, Any], field: str) -> Sequence[Any]:
    found = holder.get(field)
    return found if isinstance(found, list) else []


def objects_of(holder: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    """The objects of a list; in the place of anything else stands an empty one, so that indexes stay true."""
    return [one if isinstance(one, Mapping) else {} for one in _list(holder, field)]


def texts_of(holder: Mapping[str, Any], field: str) -> list[str]:
    """The strings of the list under `field`."""
    return [one for one in _list(holder, field) if isinstance(one, str)]


def text_of(value: object) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def is_blank(value: object) -> bool:
    """Whether a text has only blanks; an empty text is left out when it is written, and so counts as missing."""
    return isinstance(value, str) and bool(value) and not value.strip()


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
