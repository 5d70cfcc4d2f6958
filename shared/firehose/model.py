"""What every model of the protocol shares: unknown fields are kept, an unreadable value never costs its neighbours.

Pydantic reports all unreadable values of an object at once. `Part` takes them out and reads the rest again, so that
the usual case, an object without fault, costs nothing extra.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeVar, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from shared.errors import InvalidRequest, Unmappable
from shared.firehose.values import well_formed

sys.modules.setdefault("pydantic.plugin._loader", SimpleNamespace(get_plugins=tuple))  # type: ignore[arg-type]
"""Without plugins for pydantic: it would look for some in the metadata of all installed packages, which takes 8 ms of a
cold start, and no zip carries one. If pydantic ever calls this module differently, it looks again.
"""

Path = tuple[int | str, ...]

_MAX_ROUNDS = 4
"""One round takes out every fault that pydantic sees; another is for those that only show once keys are well formed."""
_UNSOUND_KEY = {"string_unicode", "invalid_key"}
_EXPECTED = {"list_type": "expected a list", "dict_type": "expected an object", "model_type": "expected an object"}


class Malformed(NamedTuple):
    """A value that could not be read and counts as absent. It is still in `raw`.

    `where` is its path (`products[2].price`) in which `[*]` stands for a key that the sender chose.
    """

    where: str
    problem: str


class Wire(BaseModel):
    """An object of the protocol. Field names are wire names; fields that are not known are in `model_extra`.

    Its `repr` shows an `id` at most: models end up in logs, where identities and credentials must never be.
    """

    model_config = ConfigDict(
        extra="allow", frozen=True, hide_input_in_errors=True, protected_namespaces=(), defer_build=True
    )

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ()


class _Aside:
    """Carries values beside a model without taking part in its equality."""

    __slots__ = ("malformed", "raw", "unread")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, raw: Any = None, malformed: tuple[Malformed, ...] = ()) -> None:
        self.raw = raw
        self.malformed = malformed
        self.unread: frozenset[str] = frozenset()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Aside)


class Part(Wire):
    """An object that a partner may pass through untouched: a request, an event, a profile, a notification."""

    parts: ClassVar[frozenset[str]] = frozenset()
    """Fields that hold further parts; these look after themselves."""

    _aside: _Aside = PrivateAttr(default_factory=_Aside)

    @property
    def raw(self) -> Any:
        """The JSON value as it came: the same object, not a copy."""
        return self._aside.raw

    @property
    def malformed(self) -> tuple[Malformed, ...]:
        """The values in `raw` that could not be read, outermost first."""
        return self._aside.malformed

    def read_in_part(self, raw: Any, unread: frozenset[str]) -> Self:
        """The same object with `raw`, of which only a part was read: its fields `unread` have no value, and asking for
        one of them, or for all, raises Unmappable. An empty value would be a lost one that nobody misses.
        """
        self._aside.raw, self._aside.unread = raw, unread
        for name in unread:
            for values in (self.__dict__, self.model_extra or {}):
                values.pop(name, None)
        self.model_fields_set.update(unread)
        return self

    if not TYPE_CHECKING:  # with it, mypy would believe in any field

        def __getattr__(self, name: str) -> Any:
            if not name.startswith("_") and name in self._aside.unread:
                raise Unmappable(f"the partner reads `{name}`, and its `reads` does not name it")
            return super().__getattr__(name)

        def __iter__(self) -> Iterator[tuple[str, Any]]:
            self._be_whole()
            return super().__iter__()

        def model_dump(self, **options: Any) -> dict[str, Any]:
            self._be_whole()
            return super().model_dump(**options)

        def model_dump_json(self, **options: Any) -> str:
            self._be_whole()
            return super().model_dump_json(**options)

        def _be_whole(self) -> None:
            for name in sorted(self._aside.unread)[:1]:
                getattr(self, name)

    @model_validator(mode="wrap")
    @classmethod
    def _read_what_can_be_read(cls, value: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(value, cls):
            return read(value)
        malformed: list[Malformed] = []
        rest = value
        for _ in range(_MAX_ROUNDS):
            try:
                part = read(rest)
            except ValidationError as error:
                faults = error.errors(include_url=False, include_context=False, include_input=False)
                rest = _with_sound_keys(rest, cls.parts)
                rest = _without(rest, faults, malformed)
            else:
                part._aside = _Aside(value, tuple(malformed))
                return part
        raise InvalidRequest("cannot be read")


PartT = TypeVar("PartT", bound=Part)


def by_type(value: Any, kinds: Mapping[str, type[PartT]], unknown: type[PartT]) -> PartT:
    """Read a value as the model that its `type` names, or as `unknown`."""
    tag = value.get("type") if isinstance(value, dict) else None
    known = kinds.get(tag) if isinstance(tag, str) else None
    return (known or unknown).model_validate(value)


def as_malformed(part: Part, kind: type[PartT]) -> PartT:
    """The same part as a `kind`, which marks itself as malformed."""
    stand_in = kind.model_validate(part.raw)
    stand_in._aside = part._aside
    return stand_in


def _with_sound_keys(value: Any, leave: frozenset[str] = frozenset()) -> Any:
    """The same JSON value with keys that pydantic can take; the very same object if they all were."""
    if isinstance(value, dict):
        sound = {
            well_formed(str(name)): item if name in leave else _with_sound_keys(item) for name, item in value.items()
        }
        pairs = zip(value.items(), sound.items(), strict=False)
        same = len(sound) == len(value) and all(a is c and b is d for (a, b), (c, d) in pairs)
        return value if same else sound
    if isinstance(value, list):
        items = [_with_sound_keys(item) for item in value]
        return value if all(a is b for a, b in zip(value, items, strict=True)) else items
    return value


def _without(value: Any, faults: Iterable[ErrorDetails], malformed: list[Malformed]) -> Any:
    """Take out every unit with a fault in it (copying only the way to it) and say where the fault was."""
    doomed: dict[int | str, Any] = {}
    said: dict[Malformed, Malformed] = {}  # one object for all that read alike: a map may hold half a million of them
    for fault in faults:
        if fault["type"] in _UNSOUND_KEY:
            continue  # it is sound by now
        path = tuple(step for step in fault["loc"] if step != "[key]")
        problem = _EXPECTED.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
        one = Malformed(_describe(path), problem)
        malformed.append(said.setdefault(one, one))
        if not path:
            return {}
        *way, last = _unit(path)
        branch = doomed
        for step in way:
            branch = branch.setdefault(step, {})
            if branch is _GONE:
                break
        else:
            branch[last] = _GONE
    return _pruned(value, doomed)


_GONE: dict[int | str, Any] = {}
"""Marks the end of a path in the tree of values to take out."""


def _pruned(value: Any, doomed: dict[int | str, Any]) -> Any:
    """Follow the tree of path steps. A list keeps its length: null elements are left out later."""
    if doomed is _GONE:
        return None
    if isinstance(value, list):
        return [_pruned(item, doomed[i]) if i in doomed else item for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return None
    kept = {name: item for name, item in value.items() if doomed.get(name) is not _GONE}
    return {name: _pruned(item, doomed[name]) if name in doomed else item for name, item in kept.items()}


def _unit(path: Path) -> Path:
    """The unit that is taken out: the innermost list element or map entry, or else the one field. An attribute change
    whose value is unreadable must not look like a change without a value."""
    ends = [i for i, free in enumerate(_free_steps(path)) if free]
    return path[: ends[-1] + 1] if ends else path


def _describe(path: Path) -> str:
    """A path in words, from positions and field names of our own only: a key that the sender chose is `[*]`."""
    where = ""
    for step, free in zip(path, _free_steps(path), strict=True):
        if isinstance(step, int):
            where += f"[{step}]"
        else:
            where += "[*]" if free else f".{step}"
    return where.removeprefix(".")


def _free_steps(path: Path) -> list[bool]:
    """For each step of a path, whether it is a list's position or a map's key rather than a field."""
    names, maps = _names()
    free: list[bool] = []
    for i, step in enumerate(path):
        after_map = i > 0 and not free[i - 1] and path[i - 1] in maps
        free.append(isinstance(step, int) or after_map or step not in names)
    return free


@cache
def _names() -> tuple[frozenset[str], frozenset[str]]:
    """All field names of the protocol, and those of them that hold an object with free keys."""
    names, maps = set(), set()
    for model in models_of_the_protocol():
        for name, field in model.model_fields.items():
            names.add(name)
            if get_origin(field.annotation) is dict:
                maps.add(name)
    return frozenset(names), frozenset(maps)


def models_of_the_protocol() -> Iterator[type[Wire]]:
    """Every model of what mParticle sends, those included that nothing has asked for yet."""
    for module in ("environments", "events", "messages", "notifications", "responses"):
        import_module(f"shared.firehose.{module}")
    models = [Wire]
    while models:
        model = models.pop()
        models += model.__subclasses__()
        yield model
