import pytest

from ops.demo.scenarios import FLOODING, HEALTHY, SCENARIOS, UNAUTHORIZED, scenario_named
from shared.errors import InvalidSettings


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_plans_the_same(name: str) -> None:
    """Requests, times and trouble follow from the settings; each request has its time, in order, and is its own."""
    scenario = SCENARIOS[name]
    settings = scenario.settings(requests=100)
    plan, again = scenario.plan(settings), scenario.plan(settings)
    assert plan == again
    assert len(plan.parcels) == len(plan.due_s) == 100
    assert list(plan.due_s) == sorted(plan.due_s)
    assert len({event_id for one in plan.parcels for event_id in one.event_ids}) == 200


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_a_person_says_comes_before_the_scenario(name: str) -> None:
    """A number that is given replaces the scenario's own; what is not given stays."""
    scenario = SCENARIOS[name]
    assert scenario.settings(requests=77, limit=None).requests == 77
    assert scenario.settings(limit=None) == scenario.settings()


def test_an_unknown_scenario_names_those_that_there_are() -> None:
    """The error names the variable and the choice."""
    with pytest.raises(InvalidSettings, match="SCENARIO must be one of spike, outage, throttle, poison, noisy"):
        scenario_named("flood")


def test_the_outage_begins_and_ends_amid_the_requests() -> None:
    """Requests come before it, during it and after it."""
    scenario = SCENARIOS["outage"]
    plan = scenario.plan(scenario.settings())
    ((begin_s, end_s),) = plan.behaviour.outages
    assert 0 < begin_s < end_s < plan.due_s[-1]


def test_poison_is_refused_for_good_and_nothing_else() -> None:
    """One event gets 500, some get 400, each of another request; those and no others may be given up."""
    scenario = SCENARIOS["poison"]
    plan = scenario.plan(scenario.settings())
    assert sorted(plan.behaviour.answers.values()) == [400] * 20 + [500]
    assert plan.refused == plan.never == plan.behaviour.answers.keys()
    assert max(len(plan.refused & set(one.event_ids)) for one in plan.parcels) == 1


def test_noisy_customers_have_their_parts() -> None:
    """The flood is most of all requests and short; only the third customer's events can not arrive."""
    scenario = SCENARIOS["noisy"]
    plan = scenario.plan(scenario.settings())
    due_s: dict[int | None, list[float]] = {}
    for one, at_s in zip(plan.parcels, plan.due_s, strict=True):
        due_s.setdefault(one.account_id, []).append(at_s)
    assert set(due_s) == {HEALTHY, FLOODING, UNAUTHORIZED}
    assert len(due_s[FLOODING]) > len(plan.parcels) / 2
    assert due_s[FLOODING][-1] - due_s[FLOODING][0] < (due_s[HEALTHY][-1] - due_s[HEALTHY][0]) / 4
    wrong = {event_id for one in plan.parcels if one.account_id == UNAUTHORIZED for event_id in one.event_ids}
    assert plan.never == wrong
    assert plan.refused == frozenset()
