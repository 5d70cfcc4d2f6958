"""What `make scenarios` writes: the report that others read, and the table in docs/limits.md."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops import pages
from ops import scenarios as verb
from testkit.simulation.judge import REPORTED
from testkit.simulation.scenario import load_all

ZERO_COLUMNS = ("lost", "false dead letters", "calls in cool-down", "over-admitted")


def rows() -> list[dict[str, str]]:
    """The table of docs/limits.md, a dictionary for each row."""
    _, table, _ = pages.parted(verb.LIMITS_PAGE.read_text(encoding="utf-8"), verb.TABLE)
    lines = table.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], one, strict=True)) for one in cells[2:]]


def test_docs_table_has_every_scenario() -> None:
    """The documented scenarios are those that are run, with the titles of their files."""
    assert [(row["scenario"].strip("`"), row["what happens"]) for row in rows()] == [
        (scenario.name, scenario.title) for scenario in load_all()
    ]


def test_docs_table_shows_zero_where_zero_is_promised() -> None:
    """Nothing documented is lost, wrongly dead, called in a cool-down or over-admitted."""
    assert [row for row in rows() if any(row[name] != "0" for name in ZERO_COLUMNS)] == []


def test_report_has_the_agreed_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run leaves a list of objects with the agreed names, and its exit code says that the bands were kept."""
    monkeypatch.setattr(verb, "REPORT", tmp_path / "build/report.json")
    answer = CliRunner().invoke(verb.app, ["--name", "poison-by-item", "--seed", "2"])
    assert answer.exit_code == 0, answer.output
    [entry] = json.loads((tmp_path / "build/report.json").read_text(encoding="utf-8"))
    assert tuple(entry) == REPORTED
    assert (entry["scenario"], entry["seed"], entry["lost"]) == ("poison-by-item", 2, 0)


def test_unknown_name_is_refused() -> None:
    """A name that fits no scenario is an error that lists what there is, not an empty success."""
    answer = CliRunner().invoke(verb.app, ["--name", "nothing-like-that"])
    assert answer.exit_code == 2
    assert "cold-start" in answer.output


@pytest.mark.parametrize("seed", ["a", "", "-1", "5-2", "1--3", "1.5", ","])
def test_what_is_no_seed_is_refused(seed: str) -> None:
    """The message shows what a seed looks like."""
    answer = CliRunner().invoke(verb.app, ["--name", "poison-by-item", f"--seed={seed}"])
    assert answer.exit_code == 2
    assert "1-20" in answer.output


@pytest.mark.parametrize(("text", "seeds"), [("7", [7]), ("3,5,8", [3, 5, 8]), ("1-4, 9", [1, 2, 3, 4, 9])])
def test_seeds_are_given_singly_or_as_ranges(text: str, seeds: list[int]) -> None:
    """SEED takes one seed, several, or a range."""
    assert verb.seeds_of(text) == seeds
