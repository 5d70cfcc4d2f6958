"""Plots as SVG: axes, bars, legends."""

import re
from typing import Any

import pytest

from ops.demo import charts


def test_what_held_stands_as_a_bar_from_its_beginning_to_its_end() -> None:
    """Neighbouring seconds are one bar; what never held has neither a bar nor a legend."""
    svg = charts.lines(
        [charts.Series("a", "spillway", range(6), [1] * 6)],
        title="t", x_label="x", y_label="y",
        strips=[
            charts.Strip("held", "down", [False, True, True, False, True, False]),
            charts.Strip("never", "throttled", [False] * 6),
        ],
    )  # fmt: skip
    assert re.findall(r"<title>held: (\d) s to (\d) s", svg) == [("1", "3"), ("4", "5")]
    assert "never" not in svg


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        (0, [0.0, 1.0]),
        (1, [0, 0.5, 1.0]),
        (4, [0, 1, 2, 3, 4]),
        (120, [0, 50, 100, 150]),
        (125, [0, 50, 100, 150]),
        (7, [0, 2, 4, 6, 8]),
    ],
)
def test_ticks_are_round_numbers_that_reach_the_top(top: float, expected: list[float]) -> None:
    """Steps of 1, 2 or 5 times a power of ten, from 0 to the first that is not below the largest value."""
    assert charts.nice_ticks(top) == expected


def rects(svg: str) -> list[dict[str, Any]]:
    found = re.findall(r'<rect class="(\w+) area" x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)">', svg)
    return [{"css": css, "y": float(y), "height": float(height)} for css, _, y, height in found]


def test_bars_stand_on_one_another() -> None:
    """A stacked bar begins where the one below it ends, and its height is its share of the axis."""
    svg = charts.stacked_bars(
        [charts.Series("a", "accepted", [0], [30]), charts.Series("b", "throttled", [0], [10])],
        title="t", x_label="x", y_label="y",
    )  # fmt: skip
    below, above = rects(svg)
    assert below["css"] == "accepted"
    assert above["y"] + above["height"] == pytest.approx(below["y"], abs=0.2)
    assert below["height"] == pytest.approx(3 * above["height"], abs=0.3)


@pytest.mark.parametrize("width", [charts.WIDE, charts.WIDTH])
def test_a_legend_ends_within_the_plot(width: int) -> None:
    """Four names fit on a narrow plot: they begin further left there."""
    names = ("shared limit", "breaker open", "intake stopped", "cooling down")
    svg = charts.lines(
        [charts.Series(name, "spillway", [0, 1], [1, 1]) for name in names],
        title="t", x_label="x", y_label="y", width=width,
    )  # fmt: skip
    last = re.findall(r'class="legend" x="(\d+)"[^>]*>cooling down', svg)
    assert 0 <= int(last[0]) <= width - 7 * len("cooling down")
