"""The worker: events a second, compared with what its connections allow, and the CPU time of an event."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial

from bench.measure import CannotMeasure, Figure, Goal, MeasuresNothing, Row, Sample, alternately, checked
from bench.payloads import EVENTS, single_events, text_of
from bench.stand.cpu import CLOCK_STEP_S
from bench.stand.function import Function
from bench.stand.stand import Stand
from bench.stand.stubs import Running, stub
from shared.message import Head, encode
from testkit.records import sqs_record

LATENCY_S = 0.05
"""The partner's latency; loopback adds almost nothing."""
PEER, ASYNC_PEER, LEAN_PEER, LIMIT = "worker_requests", "worker_httpx", "worker_urllib3", "worker_curl"
COLD_PEER = "worker_powertools"
NAMES = {
    PEER: "threads + requests.Session",
    ASYNC_PEER: "AsyncBatchProcessor + httpx",
    LEAN_PEER: "threads + urllib3",
}


@dataclass(frozen=True, slots=True)
class Size:
    """`others` are the peers beside the one with threads and requests."""

    in_flight: int
    batch: int
    others: tuple[str, ...] = ()


SIZES = (Size(10, 50, (ASYNC_PEER, LEAN_PEER)), Size(10, 640), Size(64, 50), Size(64, 640, (ASYNC_PEER, LEAN_PEER)))
"""serverless.yml's defaults first."""


@dataclass(frozen=True, slots=True)
class Load:
    """A function's work in each run: the same invocation `times` over, which makes `calls` calls for `units`."""

    event: bytes
    units: int
    """The messages or calls of an invocation for which the figure is given."""
    calls: int
    """The calls that the partner sees for an invocation."""
    times: int
    warm_up: bytes
    """An invocation that opens the connections before anything is measured."""


IDEAL = 0.90
CPU_MS, CPU_OF_PEER = 0.35, 0.30
FIRST_MS = int(time.time() * 1_000)
"""The time at which the messages were queued; a worker gives up old ones."""
CALLS_A_RUN = {10: 200, 64: 640}
"""Calls of a run, by the number in flight: some seconds of the partner's time, in several batches if small."""
SIZE_S, ITERABLE_S, COLD_ROW_S = 30, 20, 20
"""Seconds of a full run for each row."""
COLD_OF_PEER = 0.6


def rows(stand: Stand) -> Iterator[Row]:
    with stub("partner", stand.certificates, latency_s=LATENCY_S) as partner:
        yield cold(stand, partner)
        for size in SIZES:
            yield from webhook(stand, partner, size)
        yield from iterable(stand, partner)


def cold(stand: Stand, partner: Running) -> Row:
    """Each run is a new process, until the answer to its first batch of one message; CPU time of the whole process."""
    names, env = {"worker": 1, COLD_PEER: 1, LIMIT: 1, "bare": 0}, settings(partner, 10, webhook_env(partner))
    events = {"worker": our_batch(1)} | dict.fromkeys((COLD_PEER, LIMIT, "bare"), their_batch(1))

    def run(name: str) -> Sample:
        before = calls_of(partner)
        with Function(stand.code(name), stand.env(**env)) as function:
            first = function.first(events[name])
        if name != "bare" and json.loads(first.body) != {"batchItemFailures": []}:
            raise MeasuresNothing(f"{name} did not deliver the message")
        counted = calls_of(partner) - before
        return checked(first.sample, counted=counted + 1, claimed=names[name] + 1, clock_step_s=CLOCK_STEP_S)

    starts = {name: partial(run, name) for name in names}
    taken = alternately(starts, least=stand.effort.least + 1, budget_s=stand.effort.budget_s(COLD_ROW_S))
    used = {name: Figure.of([one.cpu_s * 1_000 for one in samples]) for name, samples in taken.items()}
    passed = {name: Figure.of([one.wall_s * 1_000 for one in samples]) for name, samples in taken.items()}
    return Row(
        "worker, cold, first delivery",
        "ms CPU",
        used["worker"],
        used[COLD_PEER],
        "boto3 + Powertools batch + requests",
        used[LIMIT],
        (Goal(COLD_OF_PEER, of="peer"),),
        {
            "wall ms, ours": passed["worker"],
            "wall ms, peer": passed[COLD_PEER],
            "CPU ms of the bare runtime client": used["bare"],
        },
    )


def webhook(stand: Stand, partner: Running, size: Size) -> Iterator[Row]:
    """Messages of one event each, and a call for each event."""
    names = ("worker", PEER, *(size.others if stand.effort.is_full else ()), LIMIT)
    times = stand.effort.of(max(1, CALLS_A_RUN[size.in_flight] // size.batch))
    loads = dict.fromkeys(names, load(size, 1, times, ours=False)) | {"worker": load(size, 1, times)}
    env = settings(partner, size.in_flight, webhook_env(partner))
    taken = measured(stand, partner, env, loads, stand.effort.budget_s(SIZE_S))
    what = f"webhook, {size.in_flight} in flight, batch {size.batch}"
    yield throughput(what, taken, min(size.in_flight, size.batch))
    yield from cpu(f"worker, CPU an event, {what}", "ms CPU an event", taken)


def iterable(stand: Stand, partner: Running) -> Iterator[Row]:
    """The same with a partner that makes two calls for each message: one for the user's profile, one for the event."""
    size = Size(64, 320)
    env = settings(partner, size.in_flight, {"PARTNER": "iterable_here", "BENCH_ITERABLE_URL": partner.url})
    loads = {"worker": load(size, 2, 1), PEER: load(size, 2, 1, ours=False), LIMIT: load(size, 1, 1, ours=False)}
    taken = measured(stand, partner, env, loads, stand.effort.budget_s(ITERABLE_S))
    yield from cpu("worker, CPU a call, Iterable single, 64 in flight, batch 320", "ms CPU a call", taken)


def settings(partner: Running, in_flight: int, env: Mapping[str, str]) -> Mapping[str, str]:
    """The variables of a function: Spillway's, a peer's or the limit's."""
    return {"MAX_IN_FLIGHT": str(in_flight), "BENCH_LIMIT_URL": f"{partner.url}/limit", **env}


def webhook_env(partner: Running) -> Mapping[str, str]:
    return {"WEBHOOK_URL": f"{partner.url}/events"}


def load(size: Size, calls: int, times: int, *, ours: bool = True) -> Load:
    """Messages of one event that make `calls` calls each; with `ours`, as Spillway's ingest queues them. The warm-up
    has two messages for each connection, which open it.
    """
    batch, made = our_batch if ours else their_batch, size.batch * calls
    return Load(batch(size.batch), made, made, times, batch(min(size.batch, 2 * size.in_flight)))


def throughput(what: str, taken: Mapping[str, Sequence[Sample]], at_once: int) -> Row:
    speed = {name: Figure.of([one.units_a_second for one in samples]) for name, samples in taken.items()}
    ideal = Figure.exact(at_once / LATENCY_S)
    beside = {f"events/s, {NAMES[name]}": speed[name] for name in (ASYNC_PEER, LEAN_PEER) if name in speed}
    beside["events/s, libcurl alone"] = speed[LIMIT]
    goals = (Goal(IDEAL, at_least=True, of="limit"),)
    return Row(f"worker, {what}", "events/s", speed["worker"], speed[PEER], NAMES[PEER], ideal, goals, beside)


def cpu(title: str, unit: str, taken: Mapping[str, Sequence[Sample]]) -> Iterator[Row]:
    """Rows that compare with threads and requests, which have the goals, and with the other peers."""
    used = {name: Figure.of([one.cpu_ms_a_unit for one in samples]) for name, samples in taken.items()}
    passed = {name: Figure.of([one.wall_ms_a_unit for one in samples]) for name, samples in taken.items()}
    for name in (PEER, ASYNC_PEER, LEAN_PEER):
        if name in taken:
            named = title if name == PEER else f"{title}, against {NAMES[name]}"
            goals = (Goal(CPU_OF_PEER, of="peer"), Goal(CPU_MS)) if name == PEER else ()
            beside = {"wall ms, ours": passed["worker"], "wall ms, peer": passed[name]}
            yield Row(named, unit, used["worker"], used[name], NAMES[name], used[LIMIT], goals, beside)


def measured(
    stand: Stand, partner: Running, env: Mapping[str, str], loads: Mapping[str, Load], budget_s: float
) -> dict[str, list[Sample]]:
    """Run each function's load in turn, after a warm-up that opens its connections."""
    with ExitStack() as ends:
        functions = {name: ends.enter_context(Function(stand.code(name), stand.env(**env))) for name in loads}
        for name, one in loads.items():
            functions[name].next(one.warm_up)

        def run(name: str) -> Sample:
            one, before = loads[name], calls_of(partner)
            done = [functions[name].next(one.event) for _ in range(one.times)]
            if any(json.loads(each.body) != {"batchItemFailures": []} for each in done):
                raise MeasuresNothing(f"{name} did not deliver all of a batch")
            taken = [each.sample for each in done]
            whole = Sample(sum(each.cpu_s for each in taken), sum(each.wall_s for each in taken), one.units * one.times)
            counted = calls_of(partner) - before
            return checked(whole, counted=counted, claimed=one.calls * one.times, clock_step_s=CLOCK_STEP_S)

        return alternately({name: partial(run, name) for name in loads}, least=stand.effort.least, budget_s=budget_s)


def calls_of(partner: Running) -> int:
    """The number of calls that the partner has answered."""
    return partner.counts().get("calls", 0)


@cache
def our_batch(messages: int) -> bytes:
    """A batch as SQS hands over what Spillway's ingest has queued."""
    bodies = []
    for request in single_events(messages):
        head = Head(request["id"], EVENTS, str(request["account"]["account_id"]), FIRST_MS)
        bodies += encode(head, text_of(request))
    if len(bodies) != messages:
        raise CannotMeasure("a message was split")
    return event_of(bodies)


@cache
def their_batch(messages: int) -> bytes:
    """The same requests as the peers' ingest queues them."""
    return event_of([text_of(request).decode() for request in single_events(messages)])


def event_of(bodies: Sequence[str]) -> bytes:
    records = [
        sqs_record(f"m-{number}", f"h-{number}", body, receives=1, first_ms=FIRST_MS, sent_ms=FIRST_MS)
        for number, body in enumerate(bodies)
    ]
    return json.dumps({"Records": records}, separators=(",", ":")).encode()
