"""docs/writing-a-partner.md lists what partners may use: all of it, and nothing that is not there."""

import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from partners import reading, settings, writing

DOCUMENT = Path(__file__).parents[3] / "docs" / "writing-a-partner.md"


def public(module: ModuleType) -> set[str]:
    """What a module names in __all__, else the functions and constants that it makes."""
    made = {
        name
        for name, value in vars(module).items()
        if name.isupper() or (inspect.isfunction(value) and value.__module__ == module.__name__)
    }
    return set(getattr(module, "__all__", {name for name in made if not name.startswith("_")}))


@pytest.mark.parametrize("module", [settings, reading, writing])
def test_every_name_is_in_the_document_with_a_use(module: ModuleType) -> None:
    """And in the module's own docstring, functions at least."""
    [table] = re.findall(
        rf"^\| `{re.escape(module.__name__)}` \|.*\n\|---\|---\|\n((?:\|.*\n)+)", DOCUMENT.read_text(), re.M
    )
    listed = re.findall(r"^\| `(\w+)[^|]*` \| \S", table, re.M)
    assert set(listed) == public(module)
    assert len(listed) == len(table.splitlines())
    assert module.__doc__
    assert all(name.isupper() or f"{name}(" in module.__doc__ for name in listed)
