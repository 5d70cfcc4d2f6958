"""A simulation is decided by its seed alone, and can be told apart from another."""

from dataclasses import replace

import pytest

from testkit.simulation.judge import Figures, judge
from testkit.simulation.run import simulate
from testkit.simulation.scenario import FOLDER, Scenario, Traffic, load
from testkit.simulation.suite import examine

SCENARIO = load(FOLDER / "dying-workers.toml")


@pytest.fixture(scope="module")
def of_seed_3() -> Figures:
    return examine(SCENARIO, 3)


def test_same_seed_gives_the_same_run(of_seed_3: Figures) -> None:
    """Two runs of a seed agree in every figure, down to the seconds that were paid for."""
    assert examine(SCENARIO, 3) == of_seed_3


def test_another_seed_gives_another_run(of_seed_3: Figures) -> None:
    """The dice are thrown anew for each seed."""
    assert replace(of_seed_3, seed=4) != examine(SCENARIO, 4)


def test_a_run_without_trouble_is_compared_with_itself() -> None:
    """A second run would be the same, and gives the same figures."""
    calm = Scenario(name="calm", title="Nothing goes wrong", traffic=(Traffic(until_s=5),))
    figures = examine(calm, 1)
    assert figures == judge(simulate(calm, 1), calm, 1, simulate(calm.without_trouble(), 1))
    assert (figures.healthy_p99_ratio, figures.delivered) == (1.0, 50)
