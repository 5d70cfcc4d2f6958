"""A fleet of workers with a partner, queue and state table that are fakes, on a simulated clock."""

import asyncio
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from partners import Bulk, Delivery, Limits, Partner, Rate, Result
from shared.errors import QueueUnavailable, StateUnavailable
from shared.firehose import EventProcessingRequest, Registration, Request
from shared.message import to_json
from shared.state import Conflict, Item
from tests.unit.worker_fn.records import record
from worker_fn.accounts.suspensions import Suspensions
from worker_fn.batch.context import Worker
from worker_fn.batch.drain import drain
from worker_fn.batch.settle import Report
from worker_fn.clients.http import Answer
from worker_fn.clients.mapping import Held
from worker_fn.limits.registry import Registry


class Echo(Partner):
    """One delivery for each event; `wrong` and `boom` in an event's name raise where a partner's code might."""

    name = "echo"

    def registration(self) -> Registration:
        return Registration(name="Echo", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        assert isinstance(request, EventProcessingRequest)
        for event in request.events:
            if "boom" in json.dumps(event.raw):
                raise KeyError("canary@example.com")
            yield Delivery(url="https://partner.example/e", body=to_json(event.raw), item=event.id or "")


class Unordered(Echo):
    in_order = False


class Limited(Echo):
    limits = Limits(rate=Rate(20))


class Merging(Echo):
    """Takes up to three events in one call."""

    limits = Limits(bulk={"bulk": Bulk(3)})

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        for delivery in super().deliveries(request):
            yield Delivery(delivery.url, delivery.body, delivery.item, merge="bulk")

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
        bodies = [json.loads(delivery.body) for delivery in deliveries]
        return Delivery("https://partner.example/bulk", json.dumps(bodies).encode(), "bulk")

    def read_response(self, deliveries: Sequence[Delivery], status: int, body: bytes) -> Sequence[Result] | None:
        answers = json.loads(body)
        return [Result(answer) for answer in answers] if answers else None


class Forbidding(Merging):
    """A bulk API that refuses the whole call for an item that is named `forbidden`."""

    def read_response(self, deliveries: Sequence[Delivery], status: int, body: bytes) -> Sequence[Result] | None:
        return None


class Faulty(Echo):
    """Makes of an event named `fault` what no delivery can be."""

    def __init__(self, fault: str = "url") -> None:
        self.fault = fault

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        for delivery in super().deliveries(request):
            if b"fault" not in delivery.body:
                yield delivery
            elif self.fault == "none":
                yield None  # type: ignore[misc]
            elif self.fault == "item":
                yield replace(delivery, item=5)  # type: ignore[arg-type]
            elif self.fault == "secret":
                yield replace(delivery, secret_headers={"A": "no secret"})  # type: ignore[dict-item]
            else:
                yield replace(delivery, url="https://[bad/x")


class FaultyBulk(Merging):
    """Merges or reads bulk calls wrongly."""

    def __init__(self, fault: str = "raises") -> None:
        self.fault = fault

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
        if self.fault == "none":
            return None  # type: ignore[return-value]
        return super().merge(deliveries, keys)

    def read_response(self, deliveries: Sequence[Delivery], status: int, body: bytes) -> Any:
        if self.fault == "raises":
            raise KeyError("canary@example.com")
        return {"short": (), "wrong": [True] * len(deliveries)}.get(self.fault)


class FakeQueue:
    def __init__(self, *, broken: bool = False) -> None:
        self.hidden: dict[str, int] = {}
        self.dead: list[tuple[str, Mapping[str, str]]] = []
        self.parked: list[str] = []
        self.broken = broken

    async def hide(self, waits_s: Mapping[str, int]) -> set[str]:
        if self.broken:
            return set(waits_s)
        self.hidden.update(waits_s)
        return set()

    async def dead_letter(self, record: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
        if self.broken:
            raise QueueUnavailable("down")
        self.dead.append((record["body"], attributes))

    async def park(self, record: Mapping[str, Any]) -> None:
        if self.broken:
            raise QueueUnavailable("down")
        self.parked.append(record["messageId"])


class FakeState:
    """The state table as a dictionary; `down` makes every call fail, with `error`."""

    def __init__(self, *, down: bool = False) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self.down = down
        self.error: type[StateUnavailable] = StateUnavailable

    def _check(self) -> None:
        if self.down:
            raise self.error("down")

    async def read(self, pk: str, sk: str) -> Item:
        self._check()
        return self.items.get((pk, sk), Item())

    async def swap(self, pk: str, sk: str, item: Item, value: Mapping[str, Any], *, expires_at: int | None) -> Item:
        self._check()
        current = self.items.get((pk, sk), Item())
        if current.rev != item.rev:
            raise Conflict(current)
        self.items[pk, sk] = Item(item.rev + 1, json.loads(json.dumps(value)))
        return self.items[pk, sk]

    async def delete(self, pk: str, sk: str) -> None:
        self._check()
        self.items.pop((pk, sk), None)

    async def listed(self, pk: str) -> dict[str, Item]:
        self._check()
        return {key[1]: item for key, item in self.items.items() if key[0] == pk}

    def keys(self, pk: str) -> list[str]:
        return [key[1] for key in self.items if key[0].startswith(pk)]


class FakePartnerApi:
    """Answers by what an event's name says: a status, `timeout`, or the n-th of several; remembers what it got."""

    def __init__(self, clock: "Clock") -> None:
        self.calls: list[tuple[str, str]] = []
        self.bulks: list[list[str]] = []
        self.timeouts_s: list[float] = []
        self.clock = clock
        self.call_s = 0.0
        self.in_flight = self.most_in_flight = 0
        self.seen: dict[str, int] = {}

    async def send(self, delivery: Delivery, key: str, timeout_s: float) -> Answer:
        content = json.loads(delivery.body)
        for secret in delivery.secret_headers.values():
            assert secret.value
        self.timeouts_s.append(timeout_s)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.clock.now_s += self.call_s
        self.in_flight -= 1
        if isinstance(content, list):
            return self._bulk(content)
        self.calls.append((content["id"], key))
        return self._answer(content)

    def _answer(self, event: dict[str, Any]) -> Answer:
        names = event.get("name", "200").split("|")
        turn = self.seen[event["id"]] = self.seen.get(event["id"], -1) + 1
        name = names[min(turn, len(names) - 1)]
        if name == "bad header":
            raise ValueError("canary@example.com")
        if name in {"timeout", "connection", "frozen"}:
            return Answer(fault=name)
        if name in {"poison", "rejected"}:
            return Answer(400)
        if name == "forbidden":
            return Answer(403)
        if name == "retry":
            return Answer(503)
        status, _, retry_after = name.partition(" ")
        return Answer(int(status), retry_after=retry_after or None, body=b"[]")

    def _bulk(self, events: list[dict[str, Any]]) -> Answer:
        self.bulks.append([event["id"] for event in events])
        if any(event["name"] == "poison" for event in events):
            return Answer(400)
        if any(event["name"] == "forbidden" for event in events):
            return Answer(403)
        results = [event["name"] if event["name"] in ("retry", "rejected") else "delivered" for event in events]
        return Answer(200, body=json.dumps(results).encode())

    @property
    def ids(self) -> list[str]:
        return [event_id for event_id, _ in self.calls]


class Clock:
    """Simulated time: a sleep moves it at once."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def time(self) -> float:
        return self.now_s


class Fleet:
    """What a test sets up: a partner, a queue, a state table and workers that share them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, partner: Partner | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.api = FakePartnerApi(self.clock)
        self.queue = FakeQueue()
        self.state = FakeState()
        self.partner = partner or Echo()
        self.options = {"max_in_flight": 4, "attempts": 1, **options}
        self.worker = self.another()
        real_sleep = asyncio.sleep

        async def sleep(seconds: float) -> None:
            self.clock.now_s += max(0.0, seconds)
            await real_sleep(0)

        monkeypatch.setattr("asyncio.sleep", sleep)

    def another(self, **changed: Any) -> Worker:
        """Another Lambda environment of the same fleet."""

        def now_ms() -> int:
            return int(self.clock.now_s * 1_000)

        rng = random.Random(1)
        limiters = Registry(self.state, self.partner.limits, share=0.1, call_timeout_s=13.0, now_ms=now_ms, rng=rng)
        made = Worker(
            partner=self.partner,
            send=self.api.send,
            queue=self.queue,
            state=self.state,
            limiters=limiters,
            suspensions=Suspensions(
                self.state,
                now_ms=now_ms,
                on_trouble=limiters.trouble,
                rng=rng,
                in_groups=bool(self.options.get("in_groups")),
            ),
            held=Held(self.state, now_ms=now_ms, on_trouble=limiters.trouble),
            settle_reserve_s=5.0,
            call_timeout_s=13.0,
            clock=self.clock.time,
            rng=rng,
            **self.options,
        )
        return replace(made, **changed)

    def run(self, *records: dict[str, Any], time_s: float = 60.0, worker: Worker | None = None) -> Report:
        ends_s = self.clock.now_s + time_s
        return asyncio.run(drain(list(records), worker or self.worker, lambda: ends_s - self.clock.now_s))

    def set_item(self, pk: str, sk: str, value: Mapping[str, Any]) -> None:
        """Put something into the state table."""
        self.state.items[pk, sk] = Item(1, value)

    def record(self, number: int, names: list[str], **more: Any) -> dict[str, Any]:
        """An SQS record of a request whose events are named as given."""
        return record(number, names, **more)

    def letters(self) -> list[tuple[str, str]]:
        return [(attributes["reason"], attributes.get("error", "")) for _, attributes in self.queue.dead]


@pytest.fixture
def make_fleet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make fleets with other partners and settings."""

    def make(partner: str | Partner = "echo", **options: Any) -> Fleet:
        if isinstance(partner, Partner):
            return Fleet(monkeypatch, partner, **options)
        partners = {"echo": Echo, "unordered": Unordered, "merging": Merging, "limited": Limited}
        partners |= {"forbidding": Forbidding}
        faulty = {"faulty": Faulty, "faulty_bulk": FaultyBulk}
        made = faulty[partner](options.pop("fault")) if partner in faulty else partners[partner]()
        return Fleet(monkeypatch, made, **options)

    return make


@pytest.fixture
def fleet_of_fakes(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return Fleet(monkeypatch)


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return Fleet(monkeypatch)
