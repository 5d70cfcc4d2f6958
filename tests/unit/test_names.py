"""One name, one thing: across the modules of the house."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingest_fn", "shared", "worker_fn", "partners", "infra", "ops", "testkit", "bench")

_NAME = re.compile(r"[A-Z][A-Z0-9_]+")
_NUMBERS = re.compile(r"[-+*/() 0-9._e,]+")


def numbers(file: Path) -> Iterator[tuple[str, str]]:
    """Each public constant of a module that is a number, or several: its name and its value."""
    for node in ast.parse(file.read_text()).body:
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=True))
            for name, value in pairs:
                text = ast.unparse(value)
                if isinstance(name, ast.Name) and _NAME.fullmatch(name.id) and _NUMBERS.fullmatch(text):
                    yield name.id, repr(eval(text))


def test_a_number_has_one_name_and_one_value() -> None:
    """Whoever looks a number up by its name finds one: two that differ have two names."""
    found = defaultdict[str, dict[str, str]](dict)
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for name, value in numbers(file):
                found[name][str(file.relative_to(ROOT))] = value
    differ = {name: where for name, where in found.items() if len(set(where.values())) > 1}
    assert differ == {}
