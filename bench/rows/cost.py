"""The price of a million requests, from quantities that are counted in a run; the number of requests a second that a
hundred executions take; and the calls to AWS for a message.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from bench import prices
from bench.measure import Figure, Goal, MeasuresNothing, Row, Sample, alternately, checked
from bench.payloads import EVENTS, request_of
from bench.prices import Logs, Used, billed_s, queued, written
from bench.rows.worker import FIRST_MS, calls_of, event_of, our_batch, settings
from bench.stand.cpu import CLOCK_STEP_S
from bench.stand.function import Function
from bench.stand.stand import Stand
from bench.stand.stubs import Running, stub
from infra.stage import ROOT
from shared.message import Head, encode

REQUEST_BYTES = 10_000
SLOW_PARTNER_S = 0.6
"""The partner's latency."""
AWS_S = 0.01
"""The latency of each call to SQS and DynamoDB: an assumption, because the bench has no AWS. All else is counted."""
DIRECT_MB = 256
"""The memory that ops/demo/direct_stack gives the direct function."""
MILLION = 1_000_000
PRICE, PRICE_WITH_LOGS, CAPACITY_OF_PEER = 0.85, 1.00, 30
TUNED_MERGED, TUNED_SINGLE = {"BATCH_SIZE": 640}, {"BATCH_SIZE": 640, "MAX_IN_FLIGHT": 128}
"""The settings, beside LOG_FORMAT=json, that docs/limits.md advises for a partner that is known to take them."""
EXECUTIONS = 100
INGEST_CALLS, DIRECT_CALLS = 100, 4
INGEST_S, WORKER_S = 16, 10
"""Seconds of a full run for each of the two."""
INGEST_PEER, DIRECT = "ingest_json_boto3", "direct"
READS, WRITES = ("GetItem", "Query"), ("UpdateItem", "PutItem", "DeleteItem")
SETTLES = ("ChangeMessageVisibilityBatch", "ChangeMessageVisibility", "SendMessageBatch", "DeleteMessageBatch")


def default(name: str) -> int:
    """A number from the params of serverless.yml."""
    found = re.search(rf"^    {name}: (\d+)$", (ROOT / "serverless.yml").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise MeasuresNothing(f"serverless.yml has no {name}")
    return int(found[1])


def rows(stand: Stand) -> Iterator[Row]:
    with ExitStack() as ends:
        aws = ends.enter_context(stub("aws", stand.certificates, latency_s=AWS_S))
        partner = ends.enter_context(stub("partner", stand.certificates, latency_s=SLOW_PARTNER_S))
        quick = ends.enter_context(stub("partner", stand.certificates, latency_s=0.05))
        slow = replace(stand, aws=aws)
        taken = functions(slow, partner)
        yield capacity(taken)
        yield from prices_of(slow, partner, taken)
        yield from aws_calls(stand, quick)


@dataclass(frozen=True, slots=True)
class Invocations:
    """Runs of a function, each the mean of its invocations. `used` has no GB-seconds, because these differ by run."""

    samples: list[Sample]
    memory_mb: int
    used: Used
    """What one unit of a sample uses."""
    units: int
    """The number of units in an invocation."""

    def billed_s(self) -> Figure:
        """The billed seconds of an invocation, over the runs."""
        each = [(one.wall_s * self.units / one.units, one.cpu_s * self.units / one.units) for one in self.samples]
        return Figure.of([billed_s(wall_s, cpu_s, self.memory_mb) for wall_s, cpu_s in each])

    def priced(self, seconds: float) -> Used:
        """What one unit uses if an invocation is billed for `seconds`."""
        return self.used + Used(invocations=1 / self.units, gb_s=seconds * self.memory_mb / 1_024 / self.units)


def functions(stand: Stand, partner: Running) -> Mapping[str, Invocations]:
    """Run Spillway's ingest, the peer's ingest and the direct function in turn, with the same request."""
    request = request_of(REQUEST_BYTES)
    times = {"ingest": stand.effort.of(INGEST_CALLS), INGEST_PEER: stand.effort.of(INGEST_CALLS)}
    times[DIRECT] = max(2, stand.effort.of(DIRECT_CALLS))
    memory = dict.fromkeys(times, default("ingestMemoryMb")) | {DIRECT: DIRECT_MB}
    with ExitStack() as ends:
        env = stand.env(**settings(partner, 1, {"WEBHOOK_URL": f"{partner.url}/requests"}))
        running = {name: ends.enter_context(Function(stand.code(name), env)) for name in times}
        for one in list(running.values()) * 2:
            one.next(request)
        before, calls = dict(stand.aws.counts()), calls_of(partner)
        said = {name: one.said() for name, one in running.items()}

        def run(name: str) -> Sample:
            done = [running[name].next(request).sample for _ in range(times[name])]
            whole = Sample(sum(one.cpu_s for one in done), sum(one.wall_s for one in done), len(done))
            return checked(whole, counted=1, claimed=1, clock_step_s=CLOCK_STEP_S)

        runs = {name: partial(run, name) for name in times}
        taken = alternately(runs, least=stand.effort.least, budget_s=stand.effort.budget_s(INGEST_S))
        counted = _difference(stand.aws.counts(), before)
        many = {name: sum(one.units for one in samples) for name, samples in taken.items()}
        if counted.get("SendMessage", 0) != many["ingest"] + many[INGEST_PEER]:
            raise MeasuresNothing(f"SQS took {counted} messages of {many} requests")
        if calls_of(partner) - calls != many[DIRECT]:
            raise MeasuresNothing(f"the partner saw {calls_of(partner) - calls} of {many[DIRECT]} calls")
        logs = {name: written(one.said()[len(said[name]) :], many[name]) for name, one in running.items()}

    def used(name: str) -> Used:
        asked = counted if name == "ingest" else {}  # the others do not use the table
        reads, writes = (_of(asked, operations) / many[name] for operations in (READS, WRITES))
        return Used(table_reads=reads, table_writes=writes) + logs[name]

    return {name: Invocations(samples, memory[name], used(name), 1) for name, samples in taken.items()}


def capacity(taken: Mapping[str, Invocations]) -> Row:
    """The requests a second that a hundred executions take, some of which are workers: the number of executions over
    the seconds of an execution that each request takes.
    """
    workers = default("maxConcurrency")
    ours, direct = taken["ingest"].billed_s(), taken[DIRECT].billed_s()
    return Row(
        f"capacity in {EXECUTIONS} executions, {SLOW_PARTNER_S * 1_000:.0f} ms partner, from the time of one",
        "requests/s",
        _per_second(EXECUTIONS - workers, ours),
        _per_second(EXECUTIONS, direct),
        "direct",
        None,
        (Goal(CAPACITY_OF_PEER, at_least=True, of="peer"),),
        {"ms of an execution, ours": _ms(ours), "ms of an execution, direct": _ms(direct)},
        f"{workers} executions are left to the workers.",
    )


def _per_second(executions: int, billed: Figure) -> Figure:
    return Figure(executions / billed.median, executions / billed.high, executions / billed.low, billed.runs)


def _ms(billed: Figure) -> Figure:
    return Figure(billed.median * 1_000, billed.low * 1_000, billed.high * 1_000, billed.runs)


def prices_of(stand: Stand, partner: Running, taken: Mapping[str, Invocations]) -> Iterator[Row]:
    amplitude = {"PARTNER": "amplitude_here", "BENCH_AMPLITUDE_URL": partner.url}
    webhook = {"WEBHOOK_URL": f"{partner.url}/requests", "WEBHOOK_PER": "request"}
    for what, env, tuned in (
        ("merged partner (Amplitude)", amplitude, TUNED_MERGED),
        ("a call for each request (webhook)", webhook, TUNED_SINGLE),
    ):
        yield from _priced(what, taken, worker(stand, partner, env, **_sizes({})), Logs.TEXT)
        if stand.effort.is_full:
            told = " ".join(f"{name}={number}" for name, number in tuned.items())
            yield from _priced(f"{what}, {told}", taken, worker(stand, partner, env, **_sizes(tuned)), Logs.JSON)


def _sizes(said: Mapping[str, int]) -> dict[str, int]:
    return {
        "batch": said.get("BATCH_SIZE", default("batchSize")),
        "in_flight": said.get("MAX_IN_FLIGHT", default("maxInFlight")),
    }


def _priced(what: str, taken: Mapping[str, Invocations], worked: Invocations, log_format: Logs) -> Iterator[Row]:
    """Rows with the price of a million requests, without logs and with them."""
    direct, other = taken[DIRECT], pipes(taken[INGEST_PEER])
    with_logs = f"{' LOG_FORMAT=json' if log_format is Logs.JSON else ''}, logs included"
    for named, logs, most in (("", Logs.NONE, PRICE), (with_logs, log_format, PRICE_WITH_LOGS)):
        # The peers' logs are in the text format, Lambda's default.
        theirs = Logs.NONE if logs is Logs.NONE else Logs.TEXT
        yield Row(
            f"a million requests of 10 KB, {what}{named}",
            "$",
            _dollars(taken["ingest"], worked, logs=logs),
            Figure.of([_one(direct, one, logs=theirs) for one in _three(direct.billed_s())]),
            f"direct, {DIRECT_MB} MB",
            Figure.exact(MILLION * (prices.INVOCATION + prices.SQS_REQUEST)),
            (Goal(most),),
            {"EventBridge Pipes + API destination": Figure.exact(other.dollars(MILLION, logs=theirs))},
            _told(taken["ingest"], worked),
        )


def _one(one: Invocations, seconds: float, *, logs: Logs) -> float:
    return one.priced(seconds).dollars(MILLION, logs=logs)


def _three(figure: Figure) -> tuple[float, float, float]:
    return figure.low, figure.median, figure.high


def _dollars(ingest: Invocations, worked: Invocations, *, logs: Logs) -> Figure:
    queue = Used(sqs_requests=queued(_body_bytes()))
    low, median, high = (
        (ingest.priced(first_s) + queue + worked.priced(second_s)).dollars(MILLION, logs=logs)
        for first_s, second_s in zip(_three(ingest.billed_s()), _three(worked.billed_s()), strict=True)
    )
    return Figure(median, low, high, len(worked.samples))


def pipes(ingest: Invocations) -> Used:
    """The peer's ingest and a queue, whose messages a pipe receives one by one and hands to an API destination."""
    sqs = Used(sqs_requests=3)  # sent, received, deleted
    return ingest.priced(ingest.billed_s().median) + sqs + Used(pipes=1, api_destinations=1)


def _told(ingest: Invocations, worked: Invocations) -> str:
    """The quantities, with which a reader can calculate with other prices."""
    all_of_it = ingest.priced(ingest.billed_s().median) + worked.priced(worked.billed_s().median)
    return (
        f"Ingest is billed {ingest.billed_s().median * 1_000:.0f} ms a request, the worker "
        f"{worked.billed_s().median * 1_000:.0f} ms for {worked.units} requests; SQS {queued(_body_bytes()):.2g} "
        f"requests, the table {all_of_it.table_reads:.2g} reads and {all_of_it.table_writes:.2g} writes, logs "
        f"{all_of_it.logged(Logs.TEXT):.0f} bytes a request, {all_of_it.logged(Logs.JSON):.0f} with LOG_FORMAT=json."
    )


def worker(stand: Stand, partner: Running, env: Mapping[str, str], *, batch: int, in_flight: int) -> Invocations:
    """Run batches of the request as ingest queues it, one after another on a warm environment."""
    bodies = [body for number in range(batch) for body in _queued(number)]
    event = event_of(bodies)
    with Function(stand.code("worker"), stand.env(**settings(partner, in_flight, env))) as function:
        function.next(event_of(bodies[:in_flight]))
        before, said, calls = dict(stand.aws.counts()), function.said(), calls_of(partner)

        def run() -> Sample:
            done = function.next(event)
            if json.loads(done.body) != {"batchItemFailures": []}:
                raise MeasuresNothing("the worker did not deliver all of a batch")
            return replace(done.sample, units=batch)

        budget_s = stand.effort.budget_s(WORKER_S)
        samples = alternately({"worker": run}, least=stand.effort.least, budget_s=budget_s)["worker"]
        counted, many = _difference(stand.aws.counts(), before), sum(one.units for one in samples)
        if calls_of(partner) == calls:
            raise MeasuresNothing("the partner saw no call")
        logs = written(function.said()[len(said) :], many)
    return Invocations(
        samples,
        default("workerMemoryMb"),
        Used(
            sqs_requests=_of(counted, SETTLES) / many,
            table_reads=_of(counted, READS) / many,
            table_writes=_of(counted, WRITES) / many,
        )
        + logs,
        batch,
    )


def aws_calls(stand: Stand, partner: Running) -> Iterator[Row]:
    """Calls to AWS for each message in batches of the default size; the stub counts them, so they have no spread."""
    batch, in_flight = default("batchSize"), default("maxInFlight")
    usual = {"WEBHOOK_URL": f"{partner.url}/events"}
    cases = {
        "a declared rate": {**usual, "WEBHOOK_RATE": "10000"},
        "no declared rate": usual,
        "a declared rate, every tenth call fails": {
            "WEBHOOK_URL": f"{partner.url}/fails-every-10/",
            "WEBHOOK_RATE": "10000",
            "ATTEMPTS": "1",
        },
    }
    counted = {name: _counted(stand, partner, env, batch, in_flight) for name, env in cases.items()}
    for what, operations in (("state reads", READS), ("state writes", WRITES), ("settle calls", SETTLES)):
        figures = {name: Figure.exact(_of(one, operations)) for name, one in counted.items()}
        first, *others = figures
        yield Row(
            f"worker, {what}, batch {batch}, {first}",
            f"{what} a message",
            figures[first],
            beside={name: figures[name] for name in others},
            note="Delivered messages are deleted by Lambda's pollers.",
        )


def _counted(stand: Stand, partner: Running, env: Mapping[str, str], batch: int, in_flight: int) -> Mapping[str, float]:
    """The calls to AWS for each message, without those of the first batch."""
    times = stand.effort.of(10)
    with Function(stand.code("worker"), stand.env(**settings(partner, in_flight, env))) as function:
        function.next(our_batch(batch))
        before, calls = dict(stand.aws.counts()), calls_of(partner)
        for _ in range(times):
            function.next(our_batch(batch))
        if calls_of(partner) - calls < times * batch:
            raise MeasuresNothing("the partner saw fewer calls than there were messages")
        counted = _difference(stand.aws.counts(), before)
    return {name: count / (times * batch) for name, count in counted.items()}


def _queued(number: int) -> list[str]:
    request = json.loads(request_of(REQUEST_BYTES)) | {"id": f"00000000-0000-4000-8000-{number:012}"}
    head = Head(request["id"], EVENTS, str(request["account"]["account_id"]), FIRST_MS)
    return encode(head, json.dumps(request, separators=(",", ":")).encode())


def _body_bytes() -> int:
    return len(_queued(0)[0])


def _difference(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in after.items()}


def _of(counted: Mapping[str, float], operations: Sequence[str]) -> float:
    return sum(counted.get(name, 0) for name in operations)
