"""The arithmetic of the bench: medians, ratios, goals, and what counts as a measurement."""

import pytest

from bench.measure import MOST_ROUNDS, Figure, Goal, MeasuresNothing, Row, Sample, alternately, checked, ratio


def test_a_figure_is_the_median_with_the_quartiles_around_it() -> None:
    """Of 1 to 5 the middle is 3, and half of all runs lie from 2 to 4."""
    assert Figure.of([5, 1, 4, 2, 3]) == Figure(3, 2, 4, 5)


def test_one_run_has_no_spread_and_none_has_no_figure() -> None:
    """A figure of a single run says so, and no run is no zero."""
    assert Figure.of([7.0]) == Figure.exact(7.0)
    with pytest.raises(MeasuresNothing):
        Figure.of([])


def test_net_of_the_bare_client_keeps_the_spread() -> None:
    """What is taken off is the other's median."""
    assert Figure(100, 90, 120, 11).less(Figure(20, 19, 22, 11)) == Figure(80, 70, 100, 11)


def test_a_sample_is_told_by_the_unit() -> None:
    """CPU and wall by the call, and calls by the second of the wall's clock."""
    one = Sample(cpu_s=0.5, wall_s=2.0, units=100)
    assert (one.cpu_ms_a_unit, one.wall_ms_a_unit, one.units_a_second) == (5.0, 20.0, 50.0)


def test_ratio_is_of_the_medians() -> None:
    """Without another figure, or with one of nothing, there is no ratio."""
    assert ratio(Figure.exact(1), Figure(4, 1, 9, 5)) == 0.25
    assert ratio(Figure.exact(1), None) is None
    assert ratio(Figure.exact(1), Figure.exact(0)) is None


@pytest.mark.parametrize(
    ("goal", "met", "text"),
    [
        (Goal(0.25, of="peer"), True, "≤ 0.25 × peer"),
        (Goal(0.2, of="peer"), False, "≤ 0.2 × peer"),
        (Goal(0.9, at_least=True, of="limit"), False, "≥ 0.9 × limit"),
        (Goal(0.5, at_least=True, of="limit"), True, "≥ 0.5 × limit"),
        (Goal(10), True, "≤ 10 ms"),
        (Goal(9.9), False, "≤ 9.9 ms"),
    ],
)
def test_a_goal_is_met_at_its_bound(goal: Goal, met: bool, text: str) -> None:
    """On the figure, on its ratio to the peer's, or to the limit's; the bound itself is met."""
    row = Row("a row", "ms", Figure.exact(10), Figure.exact(40), "a peer", Figure.exact(20), (goal,))
    assert (row.met, row.goal) == (met, text)


def test_a_goal_against_nothing_is_not_met() -> None:
    """A row whose peer is missing cannot have beaten it."""
    assert Row("a row", "ms", Figure.exact(10), goals=(Goal(1, of="peer"),)).met is False


def test_of_several_goals_all_have_to_be_met() -> None:
    """One that is missed is enough; a row without a goal is neither met nor missed."""
    goals = (Goal(0.5, of="peer"), Goal(9))
    row = Row("a row", "ms", Figure.exact(10), Figure.exact(40), "a peer", goals=goals)
    assert (row.met, row.goal) == (False, "≤ 0.5 × peer, ≤ 9 ms")
    assert Row("a row", "ms", Figure.exact(10)).met is None


def test_contenders_take_turns() -> None:
    """Each runs once a round, and each round begins with another."""
    order: list[str] = []

    def contender(name: str) -> Sample:
        order.append(name)
        return Sample(1, 1)

    taken = alternately({name: lambda name=name: contender(name) for name in "abc"}, least=3, budget_s=0)
    assert "".join(order) == "abcbcacab"
    assert {name: len(samples) for name, samples in taken.items()} == {"a": 3, "b": 3, "c": 3}


@pytest.mark.parametrize(("took_s", "rounds"), [(1.0, 10), (3.0, 3), (4.0, 2), (100.0, 2), (0.01, MOST_ROUNDS)])
def test_a_row_ends_within_its_budget_or_with_its_least_rounds(took_s: float, rounds: int) -> None:
    """Another round is begun only if one as long as the longest would end in time; two are run whatever they take."""
    clock = Moments()

    def contender() -> Sample:
        clock.now_s += took_s
        return Sample(1, 1)

    assert len(alternately({"a": contender}, least=2, budget_s=10, clock=clock)["a"]) == rounds


class Moments:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 5.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("ours", "peer", "met", "near"),
    [
        (Figure(10, 9, 12, 5), Figure(50, 48, 52, 5), True, False),
        (Figure(10, 9, 13, 5), Figure(50, 48, 52, 5), False, True),
        (Figure(10, 9, 12, 5), Figure(50, 47, 52, 5), False, True),
        (Figure(13, 9, 14, 5), Figure(50, 48, 52, 5), False, False),
    ],
)
def test_a_goal_is_met_by_the_worse_quartiles_too(ours: Figure, peer: Figure, met: bool, near: bool) -> None:
    """At most a quarter: ours at its upper quartile, the peer at its lower. What straddles is told apart."""
    row = Row("a row", "ms", ours, peer, "a peer", goals=(Goal(0.25, of="peer"),))
    assert (row.met, row.is_near) == (met, near)


def test_a_goal_from_below_is_met_by_the_lower_quartile() -> None:
    """At least 30 times the peer's, and 0.95 of everything."""
    of_peer, alone = (Goal(30, at_least=True, of="peer"),), (Goal(0.95, at_least=True),)
    assert Row("a row", "/s", Figure(310, 300, 320, 3), Figure(10, 9, 10, 3), "a peer", goals=of_peer).met
    assert not Row("a row", "/s", Figure(310, 299, 320, 3), Figure(10, 9, 10, 3), "a peer", goals=of_peer).met
    assert not Row("a row", "/s", Figure(310, 300, 320, 3), Figure(10, 9, 11, 3), "a peer", goals=of_peer).met
    assert Row("a row", "share", Figure(0.97, 0.95, 0.98, 3), goals=alone).met
    assert not Row("a row", "share", Figure(0.97, 0.94, 0.98, 3), goals=alone).met


def test_a_row_without_a_goal_is_near_nothing() -> None:
    """Nor is one that is met."""
    assert not Row("a row", "ms", Figure.exact(10)).is_near
    assert not Row("a row", "ms", Figure.exact(10), goals=(Goal(10),)).is_near


ENOUGH = Sample(cpu_s=0.1, wall_s=0.2, units=10)


def test_a_run_that_did_what_it_claims_is_taken_as_it_is() -> None:
    """The stub saw each call, and the clock could tell the time."""
    assert checked(ENOUGH, counted=10, claimed=10, clock_step_s=1e-6) is ENOUGH


@pytest.mark.parametrize(
    ("sample", "counted", "claimed"),
    [
        (ENOUGH, 9, 10),
        (ENOUGH, 11, 10),
        (ENOUGH, 0, 0),
        (Sample(0.1, 0.2, 0), 10, 10),
        (Sample(cpu_s=5e-5, wall_s=0.2), 1, 1),
        (Sample(cpu_s=0.1, wall_s=5e-5), 1, 1),
        (Sample(cpu_s=-0.1, wall_s=0.2), 1, 1),
    ],
)
def test_a_run_that_measures_nothing_fails(sample: Sample, counted: int, claimed: int) -> None:
    """Fewer calls than claimed, or more; no work; less time than the clock can tell."""
    with pytest.raises(MeasuresNothing):
        checked(sample, counted=counted, claimed=claimed, clock_step_s=1e-6)
