"""Which variables a partner reads, and which were meant for it and are read by nobody. Pure, but for the import.

Known are those that its `from_env` asks for, and those that its file or a module beside it names in quotes: a variable
may be asked for only when another one says so.
"""

import ast
import difflib
import importlib.util
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ops.console.findings import Finding
from partners import DEFAULT_PARTNER, load_partner


class Asked(dict[str, str]):
    """An environment that remembers which variables somebody asked it for."""

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        self.names: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.names.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> str:
        self.names.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.names.add(str(key))
        return super().__contains__(key)


def module_of(env: Mapping[str, str]) -> str:
    return env.get("PARTNER") or DEFAULT_PARTNER


def prefix_of(module: str) -> str:
    """What the names of a partner's variables begin with: `partners.acme` has ACME_."""
    return f"{module.rpartition('.')[2].upper()}_"


def known_variables(env: Mapping[str, str]) -> set[str]:
    """The variables with its prefix that the partner of an environment reads, set or not."""
    module, asked = module_of(env), Asked(env)
    with suppress(Exception):  # bad settings, or code that raises: what was asked for until then counts
        load_partner(asked)
    prefix = prefix_of(module)
    return {name for name in {*asked.names, *_named(module)} if name.startswith(prefix) and name != prefix}


def selected(env: Mapping[str, str]) -> dict[str, str]:
    """PARTNER, and those of the partner's variables that are set: what both functions are given."""
    known = known_variables(env)
    return {"PARTNER": module_of(env), **{name: env[name] for name in sorted(known) if env.get(name)}}


def unread(env: Mapping[str, str], known: Collection[str]) -> list[Finding]:
    """Variables that begin with the partner's name and that it does not read: a slip of the pen turns a setting off."""
    prefix = prefix_of(module_of(env))
    findings = []
    for name in sorted(env):
        if not name.upper().startswith(prefix) or name in known or not env[name]:
            continue
        near = difflib.get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.0)
        mend = f"Did you mean {near[0]}? Rename it, or unset it" if near else f"It reads no {prefix}...: unset it"
        findings.append(Finding("settings.unread", f"{module_of(env)} does not read {name}.", mend))
    return findings


def _named(module: str) -> Iterator[str]:
    """Texts in the partner's file, and in the modules of the same package that it imports, and they import."""
    package = module.rpartition(".")[0]
    seen, waiting = set[str](), [module]
    while waiting:
        name = waiting.pop()
        path = None if name in seen else _file_of(name)
        seen.add(name)
        if path is None:
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                yield node.value
            elif isinstance(node, ast.Import):
                waiting += [one.name for one in node.names if package and one.name.startswith(f"{package}.")]
            elif isinstance(node, ast.ImportFrom) and package:
                base = f"{package}.{node.module}" if node.level and node.module else node.module or package
                if base.startswith(package):
                    waiting += [base, *(f"{base}.{one.name}" for one in node.names)]


def _file_of(module: str) -> Path | None:
    with suppress(ImportError, ValueError, AttributeError):
        found = importlib.util.find_spec(module)
        if found and found.origin and found.origin.endswith(".py"):
            return Path(found.origin)
    return None
