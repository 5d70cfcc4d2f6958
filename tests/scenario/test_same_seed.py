"""A simulation is decided by its seed alone, and can be told apart from another."""

from dataclasses import replace

from testkit.simulation.scenario import FOLDER, load
from testkit.simulation.suite import examine


def test_same_seed_gives_the_same_run() -> None:
    """Two runs of a seed agree in every figure, down to the seconds that were paid for."""
    scenario = load(FOLDER / "dying-workers.toml")
    assert examine(scenario, 3) == examine(scenario, 3)


def test_another_seed_gives_another_run() -> None:
    """The dice are thrown anew for each seed."""
    scenario = load(FOLDER / "dying-workers.toml")
    assert replace(examine(scenario, 3), seed=4) != examine(scenario, 4)
