"""Partners with bulk endpoints: events a second if many messages become one call, compared with single calls."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bench.measure import Figure, Goal, Row
from bench.rows.worker import LATENCY_S, Load, Size, load, measured, our_batch, settings, their_batch
from bench.stand.stand import Stand
from bench.stand.stubs import Running, stub

PEER = "worker_powertools"
MESSAGES, ONE_BY_ONE = 1_000, 20
"""The messages of one invocation, each with one event: as many as a bulk call takes, near Lambda's 6 MB. The peer gets
fewer, because it needs 0.1 s for each.
"""
GOAL = 100
MERGED_ROW_S = 16


def rows(stand: Stand) -> Iterator[Row]:
    with stub("partner", stand.certificates, latency_s=LATENCY_S) as partner:
        iterable = {"PARTNER": "iterable_here", "ITERABLE_MODE": "bulk", "BENCH_ITERABLE_URL": partner.url}
        # Users and events have a bulk endpoint each.
        yield row(stand, partner, "Iterable bulk", iterable, calls=2)
        amplitude = {"PARTNER": "amplitude_here", "BENCH_AMPLITUDE_URL": partner.url}
        # At Amplitude a change of user properties is an event, too: two events for each message, and 1,000 in a call.
        yield row(stand, partner, "Amplitude", amplitude, calls=2)


def row(stand: Stand, partner: Running, name: str, env: Mapping[str, str], *, calls: int) -> Row:
    """`calls` is the number of bulk calls for all messages together; the peer makes two calls for each message."""
    few = max(8, stand.effort.of(ONE_BY_ONE))
    loads = {
        "worker": Load(our_batch(MESSAGES), MESSAGES, calls, 1, our_batch(1)),
        PEER: replace(load(Size(1, few), 2, 1, ours=False), units=few, warm_up=their_batch(1)),
    }
    taken = measured(stand, partner, settings(partner, 10, env), loads, stand.effort.budget_s(MERGED_ROW_S))
    speed = {one: Figure.of([sample.units_a_second for sample in samples]) for one, samples in taken.items()}
    used = {one: Figure.of([sample.cpu_ms_a_unit for sample in samples]) for one, samples in taken.items()}
    # A call for users and one for events, one after the other, are all that the partner's time allows.
    return Row(
        f"worker, merged, {name}, {MESSAGES:,} messages",
        "events/s",
        speed["worker"],
        speed[PEER],
        "one by one: Powertools batch + requests",
        Figure.exact(MESSAGES / (calls * LATENCY_S)),
        (Goal(GOAL, at_least=True, of="peer"),),
        {"CPU ms an event, ours": used["worker"], "CPU ms an event, peer": used[PEER]},
    )
