"""What the tests of the wire format share: where its data is, and an independent look at what a model should hold."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import simplejson
from pydantic import BaseModel

FIXTURES = Path(__file__).parents[3] / "fixtures" / "firehose"
SHARED = Path(__file__).parents[5] / "shared" / "firehose"

# The protocol's own data lies beside the repository, not in it: without it there is nothing to collect here.
collect_ignore = [] if SHARED.is_dir() else ["test_shared_data.py"]

Differences = Callable[[object, object], list[str]]


@pytest.fixture
def fixture_text() -> Callable[[str], bytes]:
    return lambda name: (FIXTURES / name).read_bytes()


@pytest.fixture
def independent() -> Callable[[bytes | str], Any]:
    """Another JSON reader than the one under test, with exact decimals."""
    return lambda text: simplejson.loads(text, use_decimal=True)


@pytest.fixture
def differences() -> Differences:
    """Where a model does not say what the JSON says, as paths; fields that no model knows count too."""
    return lambda model, wire: list(_differences(model, wire, "$"))


def _differences(model: Any, wire: Any, path: str) -> Iterator[str]:
    if isinstance(model, BaseModel) and isinstance(wire, dict):
        yield from (f"{path}.{name} is not a field" for name in model.model_extra or ())
        for name, value in wire.items():
            yield from _differences(getattr(model, name), value, f"{path}.{name}")
    elif isinstance(model, dict) and isinstance(wire, dict):
        if list(model) != list(wire):
            yield f"{path} has other keys"
        for name, value in wire.items():
            yield from _differences(model.get(name), value, f"{path}.{name}")
    elif isinstance(model, list) and isinstance(wire, list):
        if len(model) != len(wire):
            yield f"{path} has {len(model)} elements instead of {len(wire)}"
        for i, (element, value) in enumerate(zip(model, wire, strict=False)):
            yield from _differences(element, value, f"{path}[{i}]")
    elif not _same(model, wire):
        yield path


def _same(value: object, wire: object) -> bool:
    if isinstance(value, datetime):
        return value == _at(wire)
    if isinstance(value, Decimal):
        number = Decimal(wire) if isinstance(wire, int | Decimal | str) else None
        return number is not None and number.as_tuple() == value.as_tuple()
    if isinstance(value, float):
        return isinstance(wire, int | Decimal) and value == float(wire)
    if isinstance(value, str):
        return value == (wire if isinstance(wire, str) else str(wire))
    return type(value) is type(wire) and value == wire


def _at(wire: object) -> datetime:
    if isinstance(wire, str):
        return datetime.fromisoformat(wire)
    seconds, fraction = divmod(Decimal(str(wire)), 1)
    return datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(fraction * 10**6))
