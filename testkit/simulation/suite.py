"""A scenario judged: its run against a calm one, or one run for each step at which a worker can die."""

from dataclasses import replace

from testkit.simulation.judge import Figures, broken_bands, judge, p99, waits_s
from testkit.simulation.run import simulate
from testkit.simulation.scenario import Scenario


def examine(scenario: Scenario, seed: int, *, stride: int = 1) -> Figures:
    """Run a scenario and judge it. `stride`: let a worker die at every n-th of the possible steps."""
    if scenario.dies_at_each_step:
        return _each_step(scenario, seed, stride)
    run, calm = simulate(scenario, seed), scenario.without_trouble()
    return judge(run, scenario, seed, run if calm == scenario else simulate(calm, seed))


def _each_step(scenario: Scenario, seed: int, stride: int) -> Figures:
    """The sum of many runs. All are the same up to the step at which a worker dies."""
    whole = simulate(scenario, seed)
    calm_s = waits_s(simulate(scenario.without_trouble(), seed).world.truth, scenario)
    total = judge(whole, scenario, seed, None)
    all_s: list[float] = []
    broken: list[str] = []
    for step in range(1 + seed % stride, whole.world.truth.steps + 1, stride):
        run = simulate(scenario, seed, dies_at_step=step)
        one = judge(run, scenario, seed, None)
        all_s += waits_s(run.world.truth, scenario)
        broken += [f"step {step}: {what}" for what in one.broken]
        total = _added(total, one)
    ratio = round(p99(all_s) / p99(calm_s), 2)
    total = replace(total, healthy_p99_ratio=ratio, healthy_p99_s=p99(all_s))
    # Waiting and duplicates are judged run by run, the rest of the sum once more.
    return replace(total, broken=[*broken, *(what for what in broken_bands(total, scenario) if "ratio" in what)])


def _added(total: Figures, one: Figures) -> Figures:
    summed = (
        "events",
        "lost",
        "false_dead_letters",
        "calls_during_cooldown",
        "over_admitted",
        "duplicates",
        "duplicates_explained",
        "out_of_order",
        "misplaced",
        "waiting",
        "parked",
        "delivered",
        "calls",
        "refused",
        "faults",
        "deaths",
        "crashes",
        "timeouts",
        "invocations",
        "paid_s",
    )
    changes = {name: getattr(total, name) + getattr(one, name) for name in summed}
    return replace(total, **changes, dead=total.dead + one.dead, ended_s=max(total.ended_s, one.ended_s))
