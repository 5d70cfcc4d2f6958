"""The partner: its API as it truly behaves, and the `Partner` by which Spillway knows it."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime

from partners import Bulk, Delivery, Limits, Partner, Rate, Result, Secret
from shared.firehose import EventProcessingRequest, Registration, Request
from shared.partner_http import is_for_later
from testkit.clock import EPOCH_S, now_s
from testkit.simulation.life import Life, World
from testkit.simulation.scenario import ApiModel, Trouble
from testkit.simulation.truth import Call, CoolDown
from worker_fn.clients.http import Answer
from worker_fn.dispatch.classify import ABSURD_RETRY_AFTER_S, retry_after_s
from worker_fn.limits.agreement import LONGEST_COOL_DOWN_S, LONGEST_FOR_ALL_S

POISON = "poison"


class SimulatedPartner(Partner):
    """One delivery for each event. A body is a line: account, item, and whether the partner will never take it."""

    name = "simulated"

    def __init__(self, api: ApiModel) -> None:
        self._bulk = api.bulk_items > 0
        self.in_order = api.in_order
        self._per_item = api.per_item_answers or api.names_the_bad
        self.limits = Limits(
            rate=_rate(api.rate_per_s) if api.declared else None,
            account_rate=_rate(api.account_rate_per_s),
            bulk={"bulk": Bulk(api.bulk_items, rate=_rate(api.bulk_rate_per_s))} if self._bulk else {},
        )

    def registration(self) -> Registration:
        return Registration(name="Simulated", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        if not isinstance(request, EventProcessingRequest) or request.account is None:
            return
        for event in request.events:
            line = f"{request.account.account_id} {event.id} {event.raw.get('name')}"
            merge = "bulk" if self._bulk else None
            key = request.account.account_settings.get("apiKey")
            yield Delivery(
                url="https://partner.example/events",
                body=line.encode(),
                item=event.id or "",
                secret_headers={"X-Key": Secret(key)} if key else {},
                merge=merge,
            )

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:  # noqa: ARG002
        body = b"\n".join(one.body for one in deliveries)
        return replace(deliveries[0], body=body, item="")

    def read_response(
        self,
        deliveries: Sequence[Delivery],  # noqa: ARG002
        status: int,
        body: bytes,
    ) -> Sequence[Result] | None:
        if not self._per_item:
            return None
        good = Result.DELIVERED if status < 300 else Result.AGAIN
        bad = Result.RETRY if is_for_later(status) else Result.REJECTED
        return [good if word == "ok" else bad for word in body.decode().split()]


def _rate(per_s: float | None) -> Rate | None:
    return Rate(per_s) if per_s else None


class PartnerLimit:
    """Counts calls as partners do. Times may come slightly out of order."""

    def __init__(self, per_second: float, style: str) -> None:
        self._rate = per_second
        self._style = style
        self._burst = max(1.0, per_second)
        self._tokens = self._burst
        self._at_s = 0.0
        self._window = -1
        self._count = 0
        self._recent: deque[float] = deque()

    def takes(self, at_s: float) -> bool:
        if self._style == "fixed_window":
            window = int(at_s)
            if window > self._window:
                self._window, self._count = window, 0
            self._count += 1
            return self._count <= self._burst
        if self._style == "sliding_window":
            while self._recent and self._recent[0] <= at_s - 1.0:
                self._recent.popleft()
            if len(self._recent) >= self._burst:
                return False
            self._recent.append(at_s)
            return True
        passed_s = max(0.0, at_s - self._at_s)
        self._at_s = max(at_s, self._at_s)
        self._tokens = min(self._burst, self._tokens + passed_s * self._rate)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Api:
    """The partner's side of every call. It decides when a call begins, and answers later: items that it took stay
    taken, even if the caller dies waiting for the answer.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._api = world.scenario.partner
        rate = self._api.rate_per_s
        self._limiter = PartnerLimit(rate, self._api.style) if rate else None
        self._accounts: dict[int, PartnerLimit] = {}

    def decide(self, life: Life, lines: list[tuple[int, str, str]], key: str = "") -> tuple[Answer, float]:
        """The answer, and after how many seconds it comes."""
        account = lines[0][0]
        answer, latency_s, ended = self._judge(account, lines, key)
        taken = [item for _, item, kind in lines if ended == "accepted" and kind != POISON]
        at_s = now_s()
        for item in taken:
            self._world.truth.accepted.setdefault(item, []).append(at_s + latency_s)
        life.accepted += taken
        self._world.truth.calls.append(
            Call(at_s, life.number, account, tuple(item for _, item, _ in lines), ended if answer.status else "fault")
        )
        return answer, latency_s

    def answered(self, life: Life, lines: list[tuple[int, str, str]], answer: Answer) -> None:
        """An answer reached the worker: note what the worker knows from now on."""
        truth = self._world.truth
        if answer.status is None:  # it can not know whether the partner took the call
            truth.unsure.update(item for _, item, _ in lines if item in truth.accepted)
        asked_s = retry_after_s(answer.retry_after, now_s=EPOCH_S + now_s())
        by_account = bool(self._api.account_rate_per_s or self._api.bulk_rate_per_s)
        seconds = None if asked_s is None else cool_down_s(asked_s, by_account=by_account)
        if seconds:
            account = lines[0][0] if by_account else None
            truth.cool_downs.append(CoolDown(now_s(), now_s() + seconds, life.number, account))

    def _judge(  # noqa: PLR0911 - a row of cases, the first that holds
        self, account: int, lines: list[tuple[int, str, str]], key: str
    ) -> tuple[Answer, float, str]:
        latency_s = self._world.latency_s(self._api.latency_ms)
        if slow := self._world.trouble("slow", account):
            latency_s *= slow.factor
        if down := self._world.trouble("down", account):
            return self._down(down, latency_s)
        refusing = self._world.trouble("refusing", account)
        if refusing or not self._takes(account):
            return Answer(429, retry_after=self._retry_after(refusing)), latency_s, "refused"
        if self._world.trouble("unauthorized", account, key):
            return Answer(401), latency_s, "unauthorized"
        bad = [kind == POISON for _, _, kind in lines]
        answers_singly = self._api.per_item_answers and self._api.bulk_items
        if any(bad) and not answers_singly:
            return (
                Answer(self._api.poison_status, body=_verdicts(bad) if self._api.names_the_bad else b""),
                latency_s,
                "rejected",
            )
        if self._world.happens("half"):
            return Answer(fault="connection"), latency_s, "accepted"
        if self._world.happens("closes"):  # before it read the call, or after it took it
            return Answer(fault="connection"), latency_s, "accepted" if self._world.rng.random() < 0.5 else "fault"
        told_apart = answers_singly or self._api.names_the_bad
        return Answer(200, body=_verdicts(bad) if told_apart else b""), latency_s, "accepted"

    def _down(self, down: Trouble, latency_s: float) -> tuple[Answer, float, str]:
        if down.answer == "refused":
            return Answer(fault="connection"), 0.01, "fault"
        if down.answer == "timeout":
            return Answer(fault="timeout"), 1e9, "fault"
        retry_after = None if down.retry_after_s is None else str(round(down.retry_after_s))
        return Answer(int(down.answer), retry_after=retry_after), latency_s, "fault"

    def _takes(self, account: int) -> bool:
        of_account = self._api.bulk_rate_per_s or self._api.account_rate_per_s
        if of_account is not None:
            limiter = self._accounts.setdefault(account, PartnerLimit(of_account, self._api.style))
            if not limiter.takes(now_s()):
                return False
        return self._limiter is None or self._limiter.takes(now_s())

    def _retry_after(self, refusing: Trouble | None) -> str | None:
        seconds = refusing.retry_after_s if refusing and refusing.retry_after_s else self._api.retry_after_s
        if self._api.retry_after == "seconds":
            return str(round(seconds))
        if self._api.retry_after == "date":
            return format_datetime(datetime.fromtimestamp(int(EPOCH_S + now_s() + seconds) + 1, UTC), usegmt=True)
        return None


class Line:
    """A Lambda environment's connections to the partner; see worker_fn.clients.http.Send."""

    def __init__(self, api: Api, life: Life) -> None:
        self._api = api
        self._life = life

    async def send(self, delivery: Delivery, key: str, timeout_s: float) -> Answer:  # noqa: ARG002
        self._life.step("call, before")
        lines = [_parsed(line) for line in delivery.body.decode().split("\n")]
        secret = delivery.secret_headers.get("X-Key")
        answer, latency_s = self._api.decide(self._life, lines, secret.value if secret else "")
        await asyncio.sleep(min(latency_s, timeout_s))
        if latency_s > timeout_s:
            answer = Answer(fault="timeout")
        self._life.step("call, after")
        self._api.answered(self._life, lines, answer)
        return answer


def _parsed(line: str) -> tuple[int, str, str]:
    account, item, kind = line.split(" ")
    return int(account), item, kind


def _verdicts(bad: list[bool]) -> bytes:
    return " ".join("bad" if one else "ok" for one in bad).encode()


def cool_down_s(retry_after_s: float, *, by_account: bool) -> float | None:
    """How long a pause the worker has to keep."""
    longest_s = LONGEST_COOL_DOWN_S if by_account else LONGEST_FOR_ALL_S
    return None if retry_after_s > ABSURD_RETRY_AFTER_S else min(retry_after_s, longest_s)
