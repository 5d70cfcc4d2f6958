"""The arithmetic of the rows about price and capacity."""

import pytest

from bench.measure import Figure, MeasuresNothing, Sample
from bench.prices import Used
from bench.rows.cost import DIRECT, Invocations, capacity, default

RUNS = [Sample(cpu_s=0.0, wall_s=0.2, units=10), Sample(cpu_s=0.0, wall_s=0.3, units=10)]


def test_a_default_is_read_where_it_is_deployed_from() -> None:
    """So the price is that of what serverless.yml says, and a number that it does not have fails the run."""
    assert default("workerMemoryMb") >= 128
    assert default("batchSize") >= 1
    with pytest.raises(MeasuresNothing):
        default("noSuchNumber")


def test_an_invocation_is_billed_by_its_own_time() -> None:
    """A run of ten invocations is ten times as long; one invocation for ten messages is as long as the run."""
    assert Invocations(RUNS, 1_769, Used(), units=1).billed_s().median == pytest.approx(0.025)
    assert Invocations(RUNS, 1_769, Used(), units=10).billed_s().median == pytest.approx(0.25)


def test_a_message_has_its_part_of_an_invocation() -> None:
    """Of the invocation, and of its gigabyte-seconds."""
    priced = Invocations(RUNS, 512, Used(log_bytes=7), units=50).priced(2.0)
    assert (priced.invocations, priced.gb_s, priced.log_bytes) == (0.02, 2.0 * 0.5 / 50, 7)


def test_capacity_leaves_the_workers_their_executions() -> None:
    """All hundred are the direct design's; the spread is turned around, as a longer time is a smaller rate."""
    ours = Invocations([Sample(0.0, 0.01, 1), Sample(0.0, 0.02, 1)], 1_769, Used(), 1)
    direct = Invocations([Sample(0.0, 0.5, 1)], 1_769, Used(), 1)
    row = capacity({"ingest": ours, DIRECT: direct})
    mine = 100 - default("maxConcurrency")
    assert row.ours.median == pytest.approx(mine / 0.015)
    assert row.ours.low < row.ours.median < row.ours.high
    assert row.peer == Figure.exact(200)
