"""The worker: events a second against what its connections allow, and the CPU that an event takes."""

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
"""The partner's; loopback adds nothing to speak of."""
PEER, ASYNC_PEER, LEAN_PEER, LIMIT = "worker_requests", "worker_httpx", "worker_urllib3", "worker_curl"
NAMES = {
    PEER: "threads + requests.Session",
    ASYNC_PEER: "AsyncBatchProcessor + httpx",
    LEAN_PEER: "threads + urllib3",
}


@dataclass(frozen=True, slots=True)
class Size:
    """`others`: the peers beside threads and requests."""

    in_flight: int
    batch: int
    others: tuple[str, ...] = ()


SIZES = (Size(10, 50, (ASYNC_PEER, LEAN_PEER)), Size(10, 640), Size(64, 50), Size(64, 640, (ASYNC_PEER, LEAN_PEER)))
"""serverless.yml's defaults first."""


@dataclass(frozen=True, slots=True)
class Work:
    """Batches for a function: messages of one event, that make so many calls each; `env` is the function's."""

    partner: Running
    in_flight: int
    batch: int
    calls: int
    env: Mapping[str, str]

    def settings(self) -> Mapping[str, str]:
        """The function's variables."""
        return {"MAX_IN_FLIGHT": str(self.in_flight), "BENCH_LIMIT_URL": f"{self.partner.url}/limit", **self.env}


IDEAL = 0.90
CPU_MS, CPU_OF_PEER = 0.35, 0.30
WARM_UPS, MANY = 3, 320
"""Of a small batch several; in one of so many messages each connection is used already."""
FIRST_MS = int(time.time() * 1_000)
"""When the messages were queued: a worker gives up old ones."""
CALLS_A_RUN = {10: 200, 64: 640}
"""By what is in flight: some seconds of the partner's time, in several batches if they are small."""


def rows(stand: Stand) -> Iterator[Row]:
    with stub("partner", stand.certificates, latency_s=LATENCY_S) as partner:
        for size in SIZES:
            yield from webhook(stand, partner, size)
        yield from iterable(stand, partner)


def webhook(stand: Stand, partner: Running, size: Size) -> Iterator[Row]:
    """One event a message, one call an event."""
    work = Work(partner, size.in_flight, size.batch, 1, {"WEBHOOK_URL": f"{partner.url}/events"})
    taken = measured(stand, work, ("worker", PEER, *size.others, LIMIT))
    what = f"webhook, {size.in_flight} in flight, batch {size.batch}"
    yield throughput(what, taken, min(size.in_flight, size.batch))
    yield from cpu(f"worker, CPU an event, {what}", "ms CPU an event", taken)


def iterable(stand: Stand, partner: Running) -> Iterator[Row]:
    """The same through a partner that makes another API's calls: the user's profile and the event, so two a message."""
    env = {"PARTNER": "iterable_here", "BENCH_ITERABLE_URL": partner.url}
    taken = measured(stand, Work(partner, 64, 320, 2, env), ("worker", PEER, LIMIT))
    yield from cpu("worker, CPU a call, Iterable single, 64 in flight, batch 320", "ms CPU a call", taken)


def throughput(what: str, taken: Mapping[str, Sequence[Sample]], at_once: int) -> Row:
    speed = {name: Figure.of([one.units_a_second for one in samples]) for name, samples in taken.items()}
    ideal = Figure.exact(at_once / LATENCY_S)
    beside = {f"events/s, {NAMES[name]}": speed[name] for name in (ASYNC_PEER, LEAN_PEER) if name in speed}
    beside["events/s, libcurl alone"] = speed[LIMIT]
    goals = (Goal(IDEAL, at_least=True, of="limit"),)
    return Row(f"worker, {what}", "events/s", speed["worker"], speed[PEER], NAMES[PEER], ideal, goals, beside)


def cpu(title: str, unit: str, taken: Mapping[str, Sequence[Sample]]) -> Iterator[Row]:
    """Against threads and requests, which has the goals, and against the other peers."""
    used = {name: Figure.of([one.cpu_ms_a_unit for one in samples]) for name, samples in taken.items()}
    passed = {name: Figure.of([one.wall_ms_a_unit for one in samples]) for name, samples in taken.items()}
    for name in (PEER, ASYNC_PEER, LEAN_PEER):
        if name in taken:
            named = title if name == PEER else f"{title}, against {NAMES[name]}"
            goals = (Goal(CPU_OF_PEER, of="peer"), Goal(CPU_MS)) if name == PEER else ()
            beside = {"wall ms, ours": passed["worker"], "wall ms, peer": passed[name]}
            yield Row(named, unit, used["worker"], used[name], NAMES[name], used[LIMIT], goals, beside)


def measured(stand: Stand, work: Work, names: Sequence[str]) -> dict[str, list[Sample]]:
    """Batches, in turn to each function; all of them have had some before, so that their connections are open."""
    batches = {"worker": our_batch(work.batch)} | dict.fromkeys(names[1:], their_batch(work.batch))
    times = stand.effort.of(max(1, CALLS_A_RUN[work.in_flight] // (work.batch * work.calls)))
    with ExitStack() as ends:
        functions = {}
        for name in names:
            functions[name] = ends.enter_context(Function(stand.code(name), stand.env(**work.settings())))
            for _ in range(WARM_UPS if work.batch < MANY else 1):
                functions[name].next(batches[name])

        def run(name: str) -> Sample:
            calls = times * work.batch * (1 if name == LIMIT else work.calls)
            before = work.partner.counts().get("calls", 0)
            done = [functions[name].next(batches[name]) for _ in range(times)]
            if any(json.loads(one.body) != {"batchItemFailures": []} for one in done):
                raise MeasuresNothing(f"{name} did not deliver all of a batch")
            sample = Sample(sum(one.sample.cpu_s for one in done), sum(one.sample.wall_s for one in done), calls)
            counted = work.partner.counts().get("calls", 0) - before
            return checked(sample, counted=counted, claimed=calls, clock_step_s=CLOCK_STEP_S)

        return alternately({name: partial(run, name) for name in names}, stand.effort.rounds)


@cache
def our_batch(messages: int) -> bytes:
    """As SQS hands over what ingest has queued."""
    bodies = []
    for request in single_events(messages):
        head = Head(request["id"], EVENTS, str(request["account"]["account_id"]), FIRST_MS)
        bodies += encode(head, text_of(request))
    if len(bodies) != messages:
        raise CannotMeasure("a message was split")
    return _event(bodies)


@cache
def their_batch(messages: int) -> bytes:
    """The same requests as the peers' ingest queues them."""
    return _event([text_of(request).decode() for request in single_events(messages)])


def _event(bodies: Sequence[str]) -> bytes:
    records = [
        sqs_record(f"m-{number}", f"h-{number}", body, receives=1, first_ms=FIRST_MS, sent_ms=FIRST_MS)
        for number, body in enumerate(bodies)
    ]
    return json.dumps({"Records": records}, separators=(",", ":")).encode()
