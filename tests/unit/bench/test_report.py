"""What the bench writes."""

from xml.etree import ElementTree

from bench import plot
from bench.measure import Figure, Goal, Row
from bench.report import Run, detailed, markdown, reported, shown

ROWS = [
    Row(
        "ingest, cold",
        "ms CPU",
        Figure(50, 49, 52, 11),
        Figure(200, 190, 220, 11),
        "boto3",
        Figure.exact(10),
        (Goal(0.35, of="peer"),),
        {"wall ms, ours": Figure(80, 70, 99, 11)},
    ),
    Row("counted <once>", "calls", Figure.exact(3)),
]
RUN = Run("4f2a9c1b03de", "2026-01-02 03:04 UTC", "2 × a processor", "full", 540.2, 0.25)


def test_report_has_the_form_that_programs_read() -> None:
    """A row a line, medians and ratios; what a row has not is null."""
    assert reported(ROWS) == [
        {
            "name": "ingest, cold", "unit": "ms CPU", "ours": 50, "peer": 200, "peer_name": "boto3", "limit": 10,
            "ratio_to_peer": 0.25, "ratio_to_limit": 5.0, "goal": "≤ 0.35 × peer", "met": True,
        },
        {
            "name": "counted <once>", "unit": "calls", "ours": 3, "peer": None, "peer_name": None, "limit": None,
            "ratio_to_peer": None, "ratio_to_limit": None, "goal": None, "met": None,
        },
    ]  # fmt: skip


def test_details_have_the_spread_and_the_run() -> None:
    """Quartiles, number of runs, what was measured beside, and of what commit, when and where."""
    told = detailed(RUN, ROWS)
    assert told["run"]["commit"] == "4f2a9c1b03de"
    assert told["rows"][0]["ours"] == {"median": 50, "low": 49, "high": 52, "runs": 11}
    assert told["rows"][0]["beside"]["wall ms, ours"]["high"] == 99


def test_table_shows_what_is_met_and_what_is_not() -> None:
    """A missed goal stands out, and the spread is below the table."""
    missed = Row("slow", "ms", Figure.exact(9), Figure.exact(10), "a peer", goals=(Goal(0.5, of="peer"),))
    lines = markdown([*ROWS, missed]).splitlines()
    assert lines[2] == "| ingest, cold, ms CPU | 50 | 200 (boto3) | 10 | 0.25 | 5.00 | ≤ 0.35 × peer | yes |"
    assert lines[4].endswith("| 0.90 | – | ≤ 0.5 × peer | **no** |")
    assert "- ingest, cold: ours 50 (49 to 52, 11 runs); boto3 200 (190 to 220, 11 runs); limit 10" in lines[6]


def test_run_is_told_in_a_line() -> None:
    """With the part of the machine that others had, by which a reader judges the wall's figures."""
    assert RUN.said() == (
        "Commit 4f2a9c1b03de, 2026-01-02 03:04 UTC, full run of 540 s on 2 × a processor. "
        "Other work took 25% of the processors meanwhile."
    )


def test_numbers_are_shown_with_three_digits() -> None:
    """More would tell of the machine."""
    assert [shown(value) for value in (0, 0.01234, 1.2345, 99.94, 1234.5)] == ["0", "0.0123", "1.23", "99.9", "1,234"]


def test_plot_has_a_bar_for_each_contender() -> None:
    """In the row's own unit, the longest as long as there is room; a row without a peer or a limit has none, nor has
    one against a further peer.
    """
    further = Row("ingest, against httpx", "ms CPU", Figure.exact(1), Figure.exact(2), "httpx")
    picture = plot.drawn([*ROWS, further])
    paper, legend = 1, 3
    assert picture.count("<rect") == paper + legend + 3
    assert "counted" not in picture
    assert f'width="{plot.NAME_ROOM:.1f}"' in picture
    assert f'width="{plot.NAME_ROOM / 4:.1f}"' in picture


def test_plot_has_text_in_fonts_of_every_system_and_colours_for_both_themes() -> None:
    """It is shown as an image: nothing is loaded, and who prefers dark sees light text on dark paper."""
    picture = plot.drawn(ROWS)
    ElementTree.fromstring(picture)
    assert "ingest, cold, ms CPU" in picture
    assert "boto3: 200" in picture
    assert "sans-serif" in picture
    light, _, dark = picture.partition("@media(prefers-color-scheme:dark)")
    assert f".text{{fill:{plot.TEXT[0]}}}" in light
    assert f".text{{fill:{plot.TEXT[1]}}}" in dark


def test_a_goal_that_only_the_median_meets_is_shown_as_that() -> None:
    """Not met, and the spread is why."""
    row = Row("near", "ms", Figure(10, 9, 14, 5), Figure(50, 48, 52, 5), "a peer", goals=(Goal(0.25, of="peer"),))
    assert markdown([row]).splitlines()[2].endswith("| **no**: spread |")
