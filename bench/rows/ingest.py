"""Ingest: CPU time of a cold start until the first accepted message, and of a call on a warm environment."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from bench.measure import Figure, Goal, Row, Sample, alternately, checked
from bench.payloads import request_of
from bench.stand.cpu import CLOCK_STEP_S
from bench.stand.function import Function
from bench.stand.stand import Stand
from bench.stand.stubs import stub

SIZES = {"2 KB": 2_000, "32 KB": 32_000, "254 KB": 254_000, "1 MB": 1_000_000, "5.3 MB": 5_300_000}
CALLS = {"2 KB": 200, "32 KB": 120, "254 KB": 40, "1 MB": 12, "5.3 MB": 4}
"""The number of calls in a run: they take at least 0.1 s of CPU, so that the machine's noise hardly counts."""
MOST_OF_PEER = dict.fromkeys(SIZES, 0.25) | {"5.3 MB": 0.35}
BARE_CALLS = 100
COLD_ROW_S, WARM_S = 20, 14
"""Seconds of a full run for each row."""
PEER, LIMIT = "ingest_json_boto3", "ingest_raw"


def rows(stand: Stand) -> Iterator[Row]:
    yield replace(cold(stand, "ingest, cold, first message accepted"), goals=(Goal(0.35, of="peer"),))
    with stub("aws", stand.certificates.by_another()) as other:
        yield cold(replace(stand, aws=other), "ingest, cold, other roots")
    with ExitStack() as ends:
        names = ("ingest", PEER, LIMIT, "bare")
        functions = {name: ends.enter_context(Function(stand.code(name), stand.env())) for name in names}
        for size in SIZES:
            yield warm(stand, functions, size)
        yield split(stand, functions)


def cold(stand: Stand, title: str) -> Row:
    """Each run is a new process until its first answer; the bare runtime client's CPU time is subtracted."""
    request = request_of(SIZES["2 KB"])

    def start(name: str, messages: int) -> Callable[[], Sample]:
        def run() -> Sample:
            before = sent(stand)
            with Function(stand.code(name), stand.env()) as function:
                sample = function.first(request).sample
            return checked(sample, counted=sent(stand) - before + 1, claimed=messages + 1, clock_step_s=CLOCK_STEP_S)

        return run

    runs = {"ingest": 1, "ingest_boto3": 1, LIMIT: 1, "bare": 0}
    starts = {name: start(name, messages) for name, messages in runs.items()}
    taken = alternately(starts, least=stand.effort.least + 1, budget_s=stand.effort.budget_s(COLD_ROW_S))
    cpu = {name: Figure.of([one.cpu_s * 1_000 for one in samples]) for name, samples in taken.items()}
    wall = {name: Figure.of([one.wall_s * 1_000 for one in samples]) for name, samples in taken.items()}
    ours, peer, limit = (cpu[name].less(cpu["bare"]) for name in ("ingest", "ingest_boto3", LIMIT))
    return Row(
        title,
        "ms CPU, net",
        ours,
        peer,
        "boto3 + Powertools Logger",
        limit,
        beside={
            "wall ms, ours": wall["ingest"],
            "wall ms, peer": wall["ingest_boto3"],
            "CPU ms of the bare runtime client": cpu["bare"],
        },
    )


def warm(stand: Stand, functions: Mapping[str, Function], size: str) -> Row:
    """Calls one after another on a warm environment, less what the bare runtime client takes for a call without
    content. So each contender is charged for reading the request's JSON.
    """
    request = request_of(SIZES[size])
    goals = (Goal(MOST_OF_PEER[size], of="peer"),)
    return replace(warm_row(stand, functions, f"ingest, warm, {size}", request, CALLS[size]), goals=goals)


def split(stand: Stand, functions: Mapping[str, Function]) -> Row:
    """A request that is over SQS's limit even when it is compressed."""
    name = "ingest, warm, 5.3 MB that hardly compress, split"
    return warm_row(stand, functions, name, request_of(SIZES["5.3 MB"], random=True), 2)


def warm_row(stand: Stand, functions: Mapping[str, Function], title: str, request: bytes, most_calls: int) -> Row:
    calls = stand.effort.of(most_calls)
    for name in (PEER, LIMIT, "ingest") * 2:
        functions[name].next(request)
    functions["bare"].next(b"{}")

    def run(name: str, content: bytes, calls: int, *, is_sent: bool) -> Sample:
        before = sent(stand)
        samples = [functions[name].next(content).sample for _ in range(calls)]
        whole = Sample(sum(one.cpu_s for one in samples), sum(one.wall_s for one in samples), calls)
        counted = sent(stand) - before
        claimed = calls * max(1, counted // calls)  # a large request takes several messages
        return checked(whole, counted=counted if is_sent else calls, claimed=claimed, clock_step_s=CLOCK_STEP_S)

    senders = {name: partial(run, name, request, calls, is_sent=True) for name in ("ingest", PEER, LIMIT)}
    bare = {"bare": partial(run, "bare", b"{}", BARE_CALLS, is_sent=False)}
    taken = alternately(senders | bare, least=stand.effort.least + 1, budget_s=stand.effort.budget_s(WARM_S))
    cpu = {name: Figure.of([one.cpu_ms_a_unit for one in samples]) for name, samples in taken.items()}
    wall = {name: Figure.of([one.wall_ms_a_unit for one in samples]) for name, samples in taken.items()}
    beside = {
        "wall ms, ours": wall["ingest"],
        "wall ms, peer": wall[PEER],
        "CPU ms of the bare runtime client": cpu["bare"],
    }
    ours, peer, limit = (cpu[name].less(cpu["bare"]) for name in ("ingest", PEER, LIMIT))
    return Row(title, "ms CPU a call, net", ours, peer, "json + boto3", limit, beside=beside)


def sent(stand: Stand) -> int:
    """The number of messages that the stub of SQS has taken."""
    return stand.aws.counts().get("SendMessage", 0)
