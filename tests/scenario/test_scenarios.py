"""Every scenario keeps its bands: nothing lost, no false dead letter, no call in a cool-down, nobody over-admitted."""

import pytest

from ops.simulation.scenario import Scenario, load_all
from ops.simulation.suite import examine

SEED = 1
SHARE = {"in-flight-outage": 0.1, "in-flight-suspended": 0.1}
"""Of the traffic, the fleet and the bound: `make scenarios` runs these whole."""
STRIDE = 20
"""Of the steps at which a worker can die, each so many-th: `make scenarios` takes each."""


@pytest.mark.parametrize("scenario", load_all(), ids=lambda scenario: scenario.name)
def test_scenario_keeps_its_bands(scenario: Scenario) -> None:
    """What goes wrong in the scenario's file ends within what the file accepts."""
    scaled = scenario.at_share(SHARE[scenario.name]) if scenario.name in SHARE else scenario
    verdict = examine(scaled, SEED, stride=STRIDE)
    assert verdict.broken == []
    assert verdict.events > 100


def test_scenarios_of_the_issue_are_all_there() -> None:
    """Each kind of trouble that can be simulated is in some scenario, and each scenario says what it is."""
    scenarios = load_all()
    kinds = {one.kind for scenario in scenarios for one in scenario.trouble}
    assert kinds >= {
        "down",
        "refusing",
        "slow",
        "closes",
        "half",
        "unauthorized",
        "state_down",
        "state_throttled",
        "settle_fails",
        "dies",
        "twice",
    }
    assert all(scenario.title for scenario in scenarios)
    assert any(scenario.dies_at_each_step for scenario in scenarios)
    assert any(scenario.fleet.skew_s for scenario in scenarios)
