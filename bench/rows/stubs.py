"""The stubs: how many calls they could answer in a second, compared with the most that any row makes."""

import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPSConnection

from bench.measure import Figure, Goal, MeasuresNothing, Row, Sample, alternately, checked
from bench.stand.cpu import CLOCK_STEP_S, cpu_s
from bench.stand.stand import Stand
from bench.stand.stubs import Running, stub

CONNECTIONS, CALLS = 8, 1_500
STUBS_ROW_S = 8
MOST_ASKED = 64 / 0.05
"""Calls a second with 64 in flight at 50 ms: the limit of all rows, so none makes more."""
STUB_ROOM = 1.5
BODY = b'{"QueueUrl":"q","MessageBody":"' + b"x" * 3_000 + b'"}'
HEADERS = {"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/json"}


def rows(stand: Stand) -> Iterator[Row]:
    with stub("aws", stand.certificates) as aws, stub("partner", stand.certificates) as partner:
        yield row(stand, partner, "of a partner", "calls")
        yield row(stand, aws, "of AWS", "SendMessage")


def row(stand: Stand, running: Running, what: str, operation: str) -> Row:
    """Calculated from the stub's CPU time: it has one thread, so it can use one core, however slow its callers are."""
    calls = stand.effort.of(CALLS)

    def run() -> Sample:
        before, used_s, began_s = running.counts().get(operation, 0), cpu_s(running.pid), time.perf_counter()
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            statuses = list(threads.map(partial(_call_often, running), [calls // CONNECTIONS] * CONNECTIONS))
        done = calls // CONNECTIONS * CONNECTIONS
        if statuses != [200] * CONNECTIONS:
            raise MeasuresNothing(f"the stub {what} answered {statuses}")
        sample = Sample(cpu_s(running.pid) - used_s, time.perf_counter() - began_s, done)
        counted = running.counts().get(operation, 0) - before
        return checked(sample, counted=counted, claimed=done, clock_step_s=CLOCK_STEP_S)

    taken = alternately({what: run}, least=3, budget_s=stand.effort.budget_s(STUBS_ROW_S))[what]
    return Row(
        f"stub {what}, what it could answer with a core of its own",
        "calls/s",
        Figure.of([one.units / one.cpu_s for one in taken]),
        limit=Figure.exact(MOST_ASKED),
        goals=(Goal(STUB_ROOM, at_least=True, of="limit"),),
        beside={"CPU ms a call": Figure.of([one.cpu_ms_a_unit for one in taken])},
        note="The limit is the most that a row can ask for.",
    )


def _call_often(running: Running, calls: int) -> int:
    """Make calls over one kept connection; returns the last status."""
    trust = ssl.create_default_context(cafile=str(running.certificates.cert))
    connection = HTTPSConnection("127.0.0.1", running.port, timeout=30, context=trust)
    try:
        for _ in range(calls):
            connection.request("POST", "/0/calls", BODY, HEADERS)
            answer = connection.getresponse()
            answer.read()
    finally:
        connection.close()
    return answer.status
