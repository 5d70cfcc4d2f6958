"""The tree of errors, and where one was raised: file and line, and nothing of what was looked at."""

import ast
import builtins
import re
from pathlib import Path

import shared.errors
from shared.errors import raised_at

ROOT = Path(__file__).parents[3]


def drawn(text: str) -> dict[str, str]:
    """The classes that a docstring draws, each with the one above it."""
    parents: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in text.splitlines():
        if node := re.fullmatch(r" {4}((?:[│ ] {3})*[├└]── )?([A-Z][A-Za-z]+)(?: {2,}.*)?", line):
            depth = len(node[1] or "")
            above[depth] = node[2]
            if depth:
                parents[node[2]] = above[depth - 4]
    return parents


def raisable() -> dict[str, str]:
    """The classes of errors that may leave the module they stand in, each with the one that it is made of."""
    bases: dict[str, str] = {}
    for package in ("shared", "ingest_fn", "worker_fn", "partners", "infra", "ops", "testkit", "bench"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef) and len(node.bases) == 1:
                    bases[node.name] = ast.unparse(node.bases[0]).rpartition(".")[2]

    def root_of(name: str) -> str:
        return root_of(bases[name]) if name in bases else name

    built_in = {
        name for name, one in vars(builtins).items() if isinstance(one, type) and issubclass(one, BaseException)
    }
    errors = {name for name in bases if root_of(name) in built_in and name[0] != "_"}
    return {name: bases[name] for name in errors if name != "SpillwayError"}


def test_the_tree_shows_every_error_there_is() -> None:
    """Whoever asks what may be raised, and what happens then, finds it in one place."""
    assert drawn(shared.errors.__doc__ or "") == raisable()


def raised(line: str, file: str) -> Exception:
    """What the code of a file raises, on its third line."""
    try:
        exec(compile(f"\n\n{line}", file, "exec"), {})
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


def test_the_innermost_file_is_named() -> None:
    """Frames of no file, and those of Python's import, are none."""
    error = raised("exec('1 / 0')", "/srv/partners/acme.py")
    assert raised_at(error) == "acme.py:3"
    assert raised_at(ValueError()) == "unknown"


def test_a_frame_below_the_folder_is_preferred() -> None:
    """What a library raised is the fault of the line that called it; without such a line it is the library's."""
    error = raised("import json; json.loads('')", "/srv/partners/acme.py")
    assert raised_at(error).startswith("decoder.py:")
    assert raised_at(error, Path("/srv/partners")) == "acme.py:3"
    assert raised_at(error, Path("/srv/part")).startswith("decoder.py:")
