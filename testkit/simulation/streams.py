"""The traffic: mParticle's requests, as ingest puts them on the queue. A request is made when it is received."""

from dataclasses import dataclass, field
from functools import partial

from shared.message import EVENTS, Head, encode, to_json
from testkit.clock import EPOCH_S
from testkit.simulation.scenario import Traffic
from testkit.simulation.truth import Sent, Truth


@dataclass(slots=True)
class Streams:
    """All streams of a scenario, merged by time."""

    traffic: tuple[Traffic, ...]
    truth: Truth
    is_fair: bool = False
    """Messages are told apart by customer before they are received, as SQS's fair queues do."""
    _next: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._next = [0 for _ in self.traffic]

    def take(self, now_s: float) -> Sent | None:
        """The next request that was sent until now."""
        stream = self._first()
        if stream is None or self._at_s(stream) > now_s:
            return None
        number = self._next[stream]
        self._next[stream] += 1
        sent = _sent(stream, number, self.traffic[stream])
        self.truth.sent[sent.id] = sent
        return sent

    def next_s(self) -> float | None:
        stream = self._first()
        return None if stream is None else self._at_s(stream)

    @property
    def is_over(self) -> bool:
        return self._first() is None

    def unreceived(self, now_s: float) -> int:
        """Requests on the queue that were not received yet."""
        arrived = map(partial(_arrived, now_s), self.traffic)
        return sum(max(0, count - received) for count, received in zip(arrived, self._next, strict=True))

    def arrived(self, now_s: float) -> int:
        """Requests that ingest accepted until now."""
        return self.unreceived(now_s) + sum(self._next)

    def _first(self) -> int | None:
        open_ = [index for index in range(len(self.traffic)) if self._next[index] < self.traffic[index].messages]
        return min(open_, key=self._at_s) if open_ else None

    def _at_s(self, stream: int) -> float:
        one = self.traffic[stream]
        return one.from_s + self._next[stream] / one.rate_per_s


def _arrived(now_s: float, one: Traffic) -> int:
    return min(one.messages, int((now_s - one.from_s) * one.rate_per_s) + 1) if now_s >= one.from_s else 0


def _sent(stream: int, number: int, traffic: Traffic) -> Sent:
    request_id = f"s{stream}-{number}"
    account = traffic.accounts[number % len(traffic.accounts)]
    items = tuple(f"{request_id}.{index}" for index in range(traffic.events))
    is_poison = bool(traffic.poison_every) and number % traffic.poison_every == traffic.poison_every // 2
    user = f"/{number // len(traffic.accounts) % traffic.users}" if traffic.users else ""
    return Sent(
        id=request_id,
        account=account,
        at_s=traffic.from_s + number / traffic.rate_per_s,
        items=items,
        poison=_poison(items, traffic, is_poison=is_poison),
        key=traffic.key,
        group=f"{account}{user}",
    )


def _poison(items: tuple[str, ...], traffic: Traffic, *, is_poison: bool) -> frozenset[str]:
    if traffic.is_revoked:
        return frozenset(items)
    return frozenset(items[len(items) // 2 : len(items) // 2 + 1]) if is_poison else frozenset()


def body_of(sent: Sent) -> str:
    """The queue message, as ingest encodes it."""
    events = [
        {"type": "custom_event", "id": item, "name": "poison" if item in sent.poison and not sent.key else "fine"}
        for item in sent.items
    ]
    account: dict[str, object] = {"account_id": sent.account}
    if sent.key:
        account["account_settings"] = {"apiKey": sent.key}
    request = {"type": EVENTS, "id": sent.id, "account": account, "events": events}
    head = Head(sent.id, EVENTS, str(sent.account), int((EPOCH_S + sent.at_s) * 1_000))
    [body] = encode(head, to_json(request))
    return body
