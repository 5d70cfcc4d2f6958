"""Which variables a partner reads, and which seem meant for it but are read by nobody. Pure, but for the import.

Known are the variables that its `from_env` asks for, and those that its file or one of its helpers names in quotes,
because a variable may be asked for only if another one says so.
"""

import ast
import difflib
import importlib.util
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

from ops.console.findings import Finding
from partners import DEFAULT_PARTNER, load_partner


class Asked(dict[str, str]):
    """An environment that records which variables somebody asked it for: all, if it was iterated or copied."""

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

    def __iter__(self) -> Iterator[str]:
        self.names.update(super().keys())
        return super().__iter__()

    def keys(self) -> Any:
        self.names.update(super().keys())
        return super().keys()

    def items(self) -> Any:
        self.names.update(super().keys())
        return super().items()


def module_of(env: Mapping[str, str]) -> str:
    return env.get("PARTNER") or DEFAULT_PARTNER


def prefix_of(module: str) -> str:
    """The prefix of a partner's variables: `partners.acme` has ACME_."""
    return f"{module.rpartition('.')[2].upper()}_"


def known_variables(env: Mapping[str, str]) -> set[str]:
    """The variables with its prefix that the partner of an environment reads, set or not."""
    module, asked = module_of(env), Asked(env)
    with suppress(Exception, SystemExit):  # bad settings, or code that raises: what was asked for until then counts
        load_partner(asked)
    prefix = prefix_of(module)
    return {name for name in {*asked.names, *_named(module)} if name.startswith(prefix) and name != prefix}


def selected(env: Mapping[str, str]) -> dict[str, str]:
    """PARTNER, and those of the partner's variables that are set: what both functions are given."""
    known = known_variables(env)
    return {"PARTNER": module_of(env), **{name: env[name] for name in sorted(known) if env.get(name)}}


def unread(env: Mapping[str, str], known: Collection[str]) -> list[Finding]:
    """Variables that begin with the partner's name but that it does not read: a typing error turns a setting off."""
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
    """Texts in the partner's file and in its helpers: all modules of its package, or beside it, that these import."""
    seen, waiting = set[str](), [module]
    beside = path.parent if (path := _path_of(module)) else None
    while waiting:
        name = waiting.pop()
        path = None if name in seen else _path_of(name)
        seen.add(name)
        if path is None or not (_are_of_one_package(name, module) or path.parent == beside):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if node.value.isidentifier():
                    yield node.value
                elif _are_of_one_package(node.value, module):  # a module that is imported by its name
                    waiting.append(node.value)
            else:
                waiting += (one for named in _imported(node, package) for one in accumulate(named.split("."), _joined))


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    """The names that an import statement in a module of `package` may mean: a module, or something in one."""
    if isinstance(node, ast.Import):
        yield from (one.name for one in node.names)
    elif isinstance(node, ast.ImportFrom):
        with suppress(ImportError):  # beyond the topmost package
            base = importlib.util.resolve_name(f"{'.' * node.level}{node.module or ''}", package)
            yield from (_joined(base, one.name) for one in node.names)


def _joined(package: str, name: str) -> str:
    return f"{package}.{name}"


def _are_of_one_package(name: str, other: str) -> bool:
    package, dot, _ = other.partition(".")
    return bool(dot) and name.startswith(f"{package}.")


def _path_of(module: str) -> Path | None:
    """A module's file, found without running anything: a package may raise as it is read."""
    top, *rest = module.split(".")
    found = None
    if not all(part.isidentifier() for part in (top, *rest)):  # a text, or `from x import *`
        return None
    with suppress(ImportError, ValueError, AttributeError):
        found = importlib.util.find_spec(top)
    if found is None:
        return None
    if not rest:
        return Path(found.origin) if found.origin else None
    folders = [Path(folder, *rest) for folder in found.submodule_search_locations or ()]
    files = (file for folder in folders for file in (folder / "__init__.py", folder.with_name(f"{folder.name}.py")))
    return next(filter(Path.is_file, files), None)
