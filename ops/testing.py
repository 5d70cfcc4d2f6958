"""What a partner's test needs, in one import. No pytest plugin: these are plain functions, and nothing loads unasked.

    from ops.testing import PartnerApi, assert_sound, deliver, json_of, mapped, request

    deliveries = mapped(Acme(), request("event_processing_request", seed=1))    # the mapping alone
    assert_sound(deliveries)                                                    # what must hold of every call

    api = PartnerApi(429, 200)                                                  # refuses once, then takes all
    ends = deliver(Acme(), request("event_processing_request"), api=api)        # through the worker's own code
    assert [end.how for end in ends] == ["delivered"]

Time is simulated and there are no sockets: a test that waits for hours takes milliseconds. It is in `ops`, which no
function's zip carries; docs/adr/0017 says why.
"""

import asyncio
import codecs
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ops.partner.rules import faults
from ops.partner.stage import BEGINS_MS, make_record, make_worker
from ops.samples import make_request
from partners import Delivery, LeftOut, Partner
from partners.wire import body_of, headers_of
from shared.firehose import Request, parse_request
from shared.json_text import MAX_DEPTH, loads
from shared.message import decode, encode, head_of, to_json
from shared.partner_http import request_of
from testkit.simulation import clock
from testkit.simulation.clock import EPOCH_S, now_s
from worker_fn.batch.drain import drain
from worker_fn.clients.http import Answer

__all__ = [
    "Answer",
    "Call",
    "End",
    "PartnerApi",
    "assert_sound",
    "deliver",
    "json_of",
    "left_out",
    "mapped",
    "read_request",
    "request",
]

INVOCATION_S = 60.0
"""What serverless.yml gives the worker for a batch."""


# --- requests -------------------------------------------------------------------------------------------------------


def request(
    kind: str = "event_processing_request",
    *,
    seed: int = 1,
    events: int | Sequence[Mapping[str, Any]] | None = None,
    environment: str | None = None,
    account_id: int = 7,
    settings: Mapping[str, str] | None = None,
    **fields: Any,
) -> Request:
    """Make a valid request of a kind, as `spillway sample` prints it; `events` is a number, or the events themselves.

    `settings` are account settings, `fields` take the place of what the request holds: `user_identities=[...]`, or
    None for nothing.
    """
    count = events if events is None or isinstance(events, int) else len(events)
    made = make_request(
        kind, seed=seed, events=count, environment=environment, account_id=account_id, settings=settings
    )
    if events is not None and not isinstance(events, int):
        made["events"] = list(events)
    return _as_received({**made, **fields})


def read_request(file: Path) -> Request:
    """Read a request from a JSON file."""
    return _as_received(loads(file.read_bytes().removeprefix(codecs.BOM_UTF8)))


def _as_received(content: Mapping[str, Any]) -> Request:
    """The request as the worker sees it: through the queue's message, numbers exact."""
    return parse_request(decode(_body(content)).payload)


def _body(content: Mapping[str, Any]) -> str:
    text = to_json(content)
    return encode(head_of(content, text, received_at_ms=BEGINS_MS), text)[0]


# --- the mapping ----------------------------------------------------------------------------------------------------


def mapped(partner: Partner, request: Request) -> list[Delivery]:
    """Map a request: the calls, without what is left out."""
    return [one for one in partner.deliveries(request) if isinstance(one, Delivery)]


def left_out(partner: Partner, request: Request) -> list[tuple[str, str]]:
    """What of a request becomes no call: the item's name, and why."""
    return [(one.item, one.why) for one in partner.deliveries(request) if isinstance(one, LeftOut)]


def json_of(sent: "Delivery | Call") -> Any:
    """The JSON in a body, decimals as Decimal."""
    return loads(sent.body, depth=2 * MAX_DEPTH)


def assert_sound(deliveries: Iterable[Delivery], *, secrets: Iterable[str] = ()) -> None:
    """Fail with what is wrong with a call: URL, headers, a body that is not what its type promises, and a secret
    (values of at least eight characters) anywhere but in secret headers.
    """
    named = {f"secret {number}": value for number, value in enumerate(secrets, start=1)}
    for number, delivery in enumerate(deliveries, start=1):
        found = [f"delivery {number}: {one.problem}. {one.mend}" for one in faults(delivery, named)]
        if found:
            raise AssertionError("\n".join(found))


# --- the worker -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call as the partner's API gets it. `headers` hold the secret ones and the Idempotency-Key, too."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at_s: float = 0.0
    """Simulated seconds since the first."""

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def key(self) -> str:
        """What a partner that must not act twice goes by."""
        return self.headers["Idempotency-Key"]


Said = int | Answer
"""An answer: a status, or Answer(429, retry_after="30"), Answer(200, body=b"..."), Answer(fault="timeout")."""


class PartnerApi:
    """A partner's API that answers by a script: the answers in turn, the last one again and again; or a function of the
    call. `calls` is what it got.
    """

    def __init__(self, *answers: Said | Callable[[Call], Said]) -> None:
        self.calls: list[Call] = []
        self._answers = answers or (200,)

    async def send(self, delivery: Delivery, key: str, timeout_s: float) -> Answer:  # noqa: ARG002 - it answers at once
        """Answer the worker's call. Raises ValueError for what HTTP has no form for, as the real client does."""
        headers, body = headers_of(delivery, idempotency_key=key, now_s=EPOCH_S + now_s()), body_of(delivery)
        request_of(delivery.method, delivery.url, headers, body)
        call = Call(delivery.method, delivery.url, headers, body, now_s())
        said = self._answers[min(len(self.calls), len(self._answers) - 1)]
        self.calls.append(call)
        said = said(call) if callable(said) else said
        return Answer(said) if isinstance(said, int) else said


@dataclass(frozen=True, slots=True)
class End:
    """How a message ended: `delivered`, `waiting`, `parked` or `dead-lettered`; docs/flow.md says what each means."""

    how: str
    reason: str = ""
    """Of a dead letter: `rejected`, `unmappable`, ..."""
    error: str = ""
    wait_s: int = 0
    """Of one that waits: until it comes back."""


WAITING = End("waiting")


def deliver(
    partner: Partner, *requests: Request | Mapping[str, Any], api: PartnerApi, for_s: float = 0.0, attempts: int = 3
) -> list[End]:
    """Put requests through the worker, all in one batch; gives how each ended, in their order.

    Messages that wait come back at their time, for `for_s` simulated seconds. `attempts` is how often a call is tried
    before its message waits.
    """
    contents = [one if isinstance(one, Mapping) else one.raw for one in requests]
    return clock.run(_delivered(partner, [_body(content) for content in contents], api, for_s, attempts))


async def _delivered(
    partner: Partner, bodies: Sequence[str], api: PartnerApi, for_s: float, attempts: int
) -> list[End]:
    queue = _Queue([make_record(number, body, receives=0) for number, body in enumerate(bodies)])
    worker = make_worker(partner, api.send, queue, max_in_flight=10, attempts=attempts)
    while (records := await queue.receive(until_s=for_s)) is not None:
        ends_s = now_s() + INVOCATION_S
        report = await drain(records, worker, lambda ends_s=ends_s: ends_s - now_s())  # type: ignore[misc]
        queue.leave(records, report.failures)
    return [queue.ends[str(number)] for number in range(len(bodies))]


class _Queue:
    """SQS as far as a batch needs it: what waits comes back at its time."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self._back_s = [(0.0, record) for record in records]
        self.ends: dict[str, End] = {}

    async def receive(self, *, until_s: float) -> list[dict[str, Any]] | None:
        """What is visible next; None if nothing is until then."""
        if not self._back_s or (next_s := min(back_s for back_s, _ in self._back_s)) > until_s:
            return None
        await asyncio.sleep(max(0.0, next_s - now_s()))
        visible = [record for back_s, record in self._back_s if back_s <= now_s()]
        self._back_s = [(back_s, record) for back_s, record in self._back_s if back_s > now_s()]
        for record in visible:
            attributes = record["attributes"]
            attributes["ApproximateReceiveCount"] = str(int(attributes["ApproximateReceiveCount"]) + 1)
        return visible

    def leave(self, records: list[dict[str, Any]], failures: Sequence[str]) -> None:
        """ReportBatchItemFailures: what is not reported is deleted."""
        for record in records:
            if record["messageId"] not in failures:
                if self.ends.get(record["messageId"], WAITING).how == WAITING.how:
                    self.ends[record["messageId"]] = End("delivered")
            else:
                self._back_s.append((now_s() + self.ends[record["messageId"]].wait_s, record))

    async def hide(self, waits_s: Mapping[str, int]) -> set[str]:
        self.ends |= {handle: End("waiting", wait_s=wait_s) for handle, wait_s in waits_s.items()}
        return set()

    async def dead_letter(self, record: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
        error = attributes.get("error", "")
        self.ends[record["messageId"]] = End("dead-lettered", reason=attributes["reason"], error=error)

    async def park(self, record: Mapping[str, Any]) -> None:
        self.ends[record["messageId"]] = End("parked")
