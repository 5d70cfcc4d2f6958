"""`spillway partner new`: a working partner from the templates beside this file, its test and a sample request."""

import keyword
import re
from collections.abc import Iterator
from pathlib import Path
from string import Template

from infra.stage import ROOT
from shared.errors import InvalidSettings

TEMPLATES = Path(__file__).parent / "template"
FILES = {
    "partner.py.tmpl": "partners/{name}.py",
    "test_partner.py.tmpl": "tests/unit/partners/test_{name}.py",
    "event.json.tmpl": "tests/fixtures/partners/{name}/event.json",
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
TAKEN = frozenset({"base", "test", "aws", "lambda", "partner"})
"""Names of Spillway, and those whose variables (AWS_URL) belong to somebody else."""


def module_of(name: str) -> str:
    """The module of a partner's name: `acme` is partners.acme. Raises InvalidSettings for an invalid name."""
    parts = name.removeprefix("partners.").split(".")
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        raise InvalidSettings(f"{name!r} is no module's name: the file without .py, as acme for partners/acme.py")
    return name if name.startswith("partners.") or len(parts) > 1 else f"partners.{name}"


def create(name: str, root: Path = ROOT) -> Iterator[str]:
    """Write the files; yields a line for each, then what to do next. Writes nothing, and raises InvalidSettings, if the
    name cannot be one, if a file is there already, or if this is no checkout.
    """
    if not (root / "pyproject.toml").is_file():
        raise InvalidSettings(
            f"a partner is written into a checkout of Spillway, and {root} is where Python keeps what is installed:"
            " clone it, and run make .venv there"
        )
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or keyword.issoftkeyword(name) or name in TAKEN:
        raise InvalidSettings(
            f"{name!r} cannot name a partner: small letters, digits and _, a letter first, no word of Python's or of "
            "AWS's, as acme or acme_mail"
        )
    files = {template: root / path.format(name=name) for template, path in FILES.items()}
    for file in files.values():
        if file.exists():
            raise InvalidSettings(f"{file.relative_to(root)} is there already: choose another name, or remove it")
    words = name.split("_")
    names = {
        "name": name,
        "classname": "".join(word.capitalize() for word in words),
        "title": " ".join(word.capitalize() for word in words).strip(),
        "prefix": name.upper(),
        "host": name.replace("_", "-").strip("-"),
    }
    for template, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        text = Template((TEMPLATES / template).read_text()).substitute(names)
        with file.open("x") as created:
            created.write(text)
        yield f"wrote {file.relative_to(root)}"
    yield f"next: spillway partner check {name}; then change each DECIDE in partners/{name}.py"
