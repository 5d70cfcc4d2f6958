"""docs/writing-a-partner.md lists what partners may use: all of it, and nothing that is not there."""

import inspect
import re
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from partners import reading, settings, writing
from shared import firehose

EVENT = {"type": "push_message_open", "id": "e", "timestamp_ms": 1_700_000_000_000, "payload": "{}"}
CUSTOMER = {"account_id": 7, "account_settings": {"apiKey": "0123456789", "listId": "5"}}
REQUEST: Any = firehose.parse_request({"type": "event_processing_request", "account": CUSTOMER, "events": [EVENT]})
GIVEN = {
    "env": {},
    "request": REQUEST,
    "event": REQUEST.events[0],
    "identity": firehose.UserIdentity(type="email", encoding="raw", value="ann@example.com"),
    "number": Decimal("1.5"),
    **dict.fromkeys(("email", "mobile", "name", "text", "content"), "text"),
}
"""What stands in the uses."""

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
    """The use runs; the functions are in the module's own docstring, too."""
    [table] = re.findall(
        rf"^\| `{re.escape(module.__name__)}` \|.*\n\|---\|---\|\n((?:\|.*\n)+)", DOCUMENT.read_text(), re.M
    )
    uses = re.findall(r"^\| `([^|]+)` \| \S", table, re.M)
    listed = [use.partition("(")[0] for use in uses]
    assert set(listed) == public(module)
    assert len(listed) == len(table.splitlines())
    for use in uses:
        eval(use, {**vars(firehose), **vars(module), "settings_of": settings.settings_of, **GIVEN})
    assert module.__doc__
    assert all(name.isupper() or f"{name}(" in module.__doc__ for name in listed)
