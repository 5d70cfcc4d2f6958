"""What a page names is there: a stranger who opens it finds it."""

import fnmatch
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
TOPS = (
    "bench",
    "docs",
    "infra",
    "ingest_fn",
    "ops",
    "partners",
    "requirements",
    "shared",
    "testkit",
    "tests",
    "worker_fn",
)
PAGES = ("README.md", "CONTRIBUTING.md", "docs")

_PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(TOPS)})(?:/[\w.*-]+)*/?")
_BESIDE = re.compile(r"`((?:[\w-]+\.(?:py|cjs|yml))|[\w-]+/)`")
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
EXAMPLE = "acme"
"""The partner that docs/writing-a-partner.md writes."""


def tree() -> set[str]:
    """Every file of the repository, and every folder."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return {str(one) for file in files if file for one in (PurePosixPath(file), *PurePosixPath(file).parents)}


def pages() -> Iterator[Path]:
    for name in PAGES:
        yield from [ROOT / name] if name.endswith(".md") else sorted((ROOT / name).rglob("*.md"))


def named(page: Path) -> Iterator[tuple[int, str]]:
    """Each path that a page names, with its line. One without a folder stands beside the one before it in its line."""
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        for link in _LINK.findall(line):
            yield number, str((page.parent / link).resolve().relative_to(ROOT))
        folder = ""
        for found in re.finditer(rf"{_PATH.pattern}|{_BESIDE.pattern}", line):
            path = found[0].strip("`").rstrip("/.")
            if found[1] is None:
                folder = path if "." not in path.rpartition("/")[2] else path.rpartition("/")[0]
            elif folder and not (ROOT / path).exists():
                path = f"{folder}/{path}"
            elif not folder:
                continue
            yield number, path


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    """Files and folders, links among them; a `*` stands for one at least."""
    there = tree()
    missing = [
        f"{page.name}:{number}: {path}"
        for number, path in named(page)
        if EXAMPLE not in path and not fnmatch.filter(there, path)
    ]
    assert missing == []
