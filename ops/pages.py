"""A table in a page of the documentation that a program renews: it stands between two comments with its name."""

from pathlib import Path

import typer


def renew(page: Path, name: str, table: str) -> None:
    """Write the page with a new table of this name. Raises BadParameter if the page has no place for it."""
    page.write_text(with_table(page.read_text(encoding="utf-8"), name, table), encoding="utf-8")


def with_table(text: str, name: str, table: str) -> str:
    """The text of a page with a new table."""
    before, _, after = parted(text, name)
    begin, end = _markers(name)
    return f"{before}{begin}\n{table}\n{end}{after}"


def parted(text: str, name: str) -> tuple[str, str, str]:
    """The text before a table, the table, and the text after it."""
    begin, end = _markers(name)
    before, begins, rest = text.partition(begin)
    table, ends, after = rest.partition(end)
    if not (begins and ends):
        raise typer.BadParameter(f"the page has no table between {begin} and {end}")
    return before, table.strip("\n"), after


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
