"""Tables that programs write into the documentation."""

from pathlib import Path

import pytest
import typer

from ops.pages import parted, renew, with_table

PAGE = "before\n<!-- one: begin -->\nold\n<!-- one: end -->\nafter\n<!-- two: begin -->\nold\n<!-- two: end -->\n"


def test_a_table_is_written_between_its_markers(tmp_path: Path) -> None:
    """What stands around it stays as it is, another table too."""
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    renew(page, "two", "new")
    assert page.read_text(encoding="utf-8") == f"{PAGE[: PAGE.rindex('old')]}new\n<!-- two: end -->\n"


def test_what_is_written_is_read_again() -> None:
    """Without the empty line that Markdown may want around it."""
    assert parted(with_table(PAGE, "one", "| a |\n| b |"), "one")[1] == "| a |\n| b |"


@pytest.mark.parametrize("text", ["", "<!-- one: begin -->\nold\n", "<!-- one: end -->\n"])
def test_a_page_without_a_place_for_it_is_left_as_it_is(text: str, tmp_path: Path) -> None:
    """And it is said which markers are missing."""
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(typer.BadParameter, match="<!-- one: begin -->"):
        renew(page, "one", "new")
    assert page.read_text(encoding="utf-8") == text
