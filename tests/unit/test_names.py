"""One name, one thing: across the modules of the house."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingest_fn", "shared", "worker_fn", "partners", "infra", "ops", "testkit", "bench")

ON_BOTH_SIDES = {"Queue", "Queues", "Settings"}
"""Names of one thing that each stage has for itself, or that a test bed has in memory."""

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


def test_a_class_of_the_worker_has_its_name_alone() -> None:
    """Whoever looks a word of the worker up finds one class: what is something else has another name."""
    found = defaultdict[str, set[str]](set)
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].add(str(file.relative_to(ROOT)))
    of_the_worker = {name for name, where in found.items() if any(one.startswith("worker_fn/") for one in where)}
    assert {name: found[name] for name in of_the_worker - ON_BOTH_SIDES if len(found[name]) > 1} == {}


def test_each_module_of_the_worker_has_a_unit_test_of_its_name() -> None:
    """Whoever changes one finds what holds it in one place."""
    modules = [one.relative_to(ROOT) for one in (ROOT / "worker_fn").rglob("*.py") if one.name != "__init__.py"]
    without = {str(one) for one in modules if not (ROOT / "tests/unit" / one.parent / f"test_{one.name}").exists()}
    assert modules
    assert without == set()
