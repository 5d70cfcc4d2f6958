"""The environment that the growth row keeps going."""

import json

import pytest

from bench.growth import Environment, peak_mib, tell


def test_messages_are_delivered_and_each_has_an_id_of_its_own() -> None:
    """A batch that leaves one behind ends the run, so this says that none was."""
    environment = Environment()
    environment.work(20)
    environment.work(20)


def test_a_line_has_the_median_and_the_quartiles(capsys: pytest.CaptureFixture[str]) -> None:
    """And the memory of this process alone."""
    tell(1_000, [3.0, 1.0, 2.0])
    line = json.loads(capsys.readouterr().out)
    assert (line["messages"], line["ms"], line["low"], line["high"], line["chunks"]) == (1_000, 2.0, 1.5, 2.5, 3)
    assert 10 < line["peak_mib"] <= peak_mib()
