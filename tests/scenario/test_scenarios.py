"""Every scenario keeps its bands: nothing lost, no false dead letter, no call in a cool-down, nobody over-admitted."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor

import pytest

from testkit.simulation.judge import Figures
from testkit.simulation.scenario import Scenario, load_all
from testkit.simulation.suite import examine

SEED = 1
SHARE = {"in-flight-outage": 0.1, "in-flight-suspended": 0.1}
"""Of the traffic, the fleet and the bound: `make scenarios` runs these whole."""
STRIDE = 20
"""Of the steps at which a worker can die, each so many-th: `make scenarios` takes each."""

SCENARIOS = load_all()


@pytest.fixture(scope="module")
def judged(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Figures]]]:
    """The scenarios that were asked for, run side by side on two cores."""
    asked = {
        item.callspec.params["scenario"].name
        for item in request.session.items
        if hasattr(item, "callspec") and "scenario" in item.callspec.params
    }
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield {one.name: pool.submit(_examined, one) for one in SCENARIOS if one.name in asked}


def _examined(scenario: Scenario) -> Figures:
    scaled = scenario.at_share(SHARE[scenario.name]) if scenario.name in SHARE else scenario
    return examine(scaled, SEED, stride=STRIDE)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_keeps_its_bands(scenario: Scenario, judged: dict[str, Future[Figures]]) -> None:
    """What goes wrong in the scenario's file ends within what the file accepts."""
    figures = judged[scenario.name].result()
    assert figures.broken == []
    assert figures.events > 100


def test_every_kind_of_trouble_is_in_some_scenario() -> None:
    """What the simulation can do wrong it does somewhere, and each scenario says what it is."""
    kinds = {one.kind for scenario in SCENARIOS for one in scenario.trouble}
    assert kinds >= {
        "down",
        "refusing",
        "slow",
        "closes",
        "half",
        "unauthorized",
        "state_down",
        "state_throttled",
        "state_loses_answers",
        "settle_fails",
        "settle_fails_singly",
        "settle_loses_answers",
        "intake_fails",
        "intake_loses_answers",
        "dies",
        "twice",
    }
    assert all(scenario.title for scenario in SCENARIOS)
    assert any(scenario.dies_at_each_step for scenario in SCENARIOS)
    assert any(scenario.fleet.skew_s for scenario in SCENARIOS)
    assert any(scenario.fleet.fifo for scenario in SCENARIOS)
