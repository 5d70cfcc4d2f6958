"""Runs one design through the demo: registration and probes, a warm-up, the requests, and the wait until all is done.

Which design it is shows in the ARN alone, and in whether there are queues to look at: both are warmed, invoked, watched
and counted by the same code.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson

from ops.demo.figures import Expected, Remains, Sample, Side
from ops.demo.live_view import SideNow, View
from ops.demo.machine import Neighbours
from ops.demo.settings import DemoSettings
from ops.local.mparticle import Ended, Invocation, MParticle, Parcel
from ops.local.partner_api import Behaviour, LoopbackPartner

SAMPLE_S = 0.5
RATE_OVER_S = 2.0
STALLED_S = 120.0
"""The drain is given up when the partner has seen nothing new for this long: more than a tick and a back-off take."""
EMPTY_S = 20.0
"""With empty queues the drain is given up sooner: events that have not arrived never will, unless they are parked."""


@dataclass(frozen=True, slots=True)
class DesignQueues:
    """Looks at a design's queues, and at its workers' knowledge of the partner. Both calls block."""

    look: Callable[[float, float], Sample]
    """The state now: told the time and how long the oldest event has waited."""
    remains: Callable[[], Remains]
    """Reads what is left when all is over; hides the dead letters while it does."""
    settle_s: float
    """How long the queue may take to become empty after the last delivery; duplicates would arrive now."""


class DemoFailed(Exception):
    """The demo cannot go on; the text says why in a line."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What mParticle sends to one design, and how the partner behaves from the first of the `requests` on."""

    registration: Parcel
    probes: Sequence[Parcel]
    warm_up: Sequence[Parcel]
    requests: Sequence[Parcel]
    due_s: Sequence[float]
    behaviour: Behaviour
    expected: Expected


@dataclass(slots=True)
class _Watch:
    """The state of a side that runs; made into a SideNow twice a second."""

    settings: DemoSettings
    name: str
    api: LoopbackPartner
    began_s: float
    expected: Expected
    invocations: list[Invocation] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    neighbours: Neighbours = field(default_factory=Neighbours)
    busy_elsewhere: float = 0.0
    waiting: dict[str, float] = field(default_factory=dict)
    """Accepted events that have not arrived and can, and when their request was sent."""

    def book(self, invocation: Invocation) -> None:
        self.invocations.append(invocation)
        if invocation.outcome is Ended.ACCEPTED:
            can_arrive = [one for one in invocation.parcel.event_ids if one not in self.expected.never]
            self.waiting |= dict.fromkeys(can_arrive, invocation.started_s)

    def arrived(self) -> None:
        """Drop events that the partner has from those that wait."""
        arrivals_at = self.api.ledger.arrivals
        self.waiting = {event_id: since_s for event_id, since_s in self.waiting.items() if event_id not in arrivals_at}

    def progress(self, under_way: int) -> SideNow:
        now_s = time.monotonic()
        counts = dict.fromkeys(Ended, 0)
        recent = dict.fromkeys(Ended, 0)
        for one in self.invocations:
            counts[one.outcome] += 1
            recent[one.outcome] += one.started_s > now_s - RATE_OVER_S
        delivered_s = self.api.ledger.accepted_s
        return SideNow(
            side=self.name,
            elapsed_s=now_s - self.began_s,
            requests=self.settings.requests,
            invoked=len(self.invocations) + under_way,
            under_way=under_way,
            accepted=counts[Ended.ACCEPTED],
            throttled=counts[Ended.THROTTLED],
            failed=counts[Ended.FAILED],
            events_accepted=counts[Ended.ACCEPTED] * self.settings.events,
            partner_down=self.is_down(now_s),
            delivered=self.api.ledger.delivered,
            refused=len(self.api.ledger.refused_s),
            invoked_per_s=sum(recent.values()) / RATE_OVER_S,
            throttled_per_s=recent[Ended.THROTTLED] / RATE_OVER_S,
            delivered_per_s=sum(at_s > now_s - RATE_OVER_S for at_s in delivered_s[-5000:]) / RATE_OVER_S,
            partner_rate_per_s=self.settings.partner_rate,
            sample=self.samples[-1] if self.samples else None,
            oldest_s=self._oldest_s(now_s),
        )

    def look(self, queues: DesignQueues) -> None:
        now_s = time.monotonic()
        self.samples.append(queues.look(now_s, self._oldest_s(now_s)))

    def is_empty(self) -> bool:
        """Whether the queues held nothing that moves when they were last looked at, or there is none."""
        last = self.samples[-1] if self.samples else None
        return last is None or last.visible + last.in_flight <= self.expected.stay

    def is_down(self, now_s: float) -> bool:
        return any(begin_s <= now_s - self.began_s < end_s for begin_s, end_s in self.expected.outages)

    def _oldest_s(self, now_s: float) -> float:
        return now_s - min(self.waiting.values(), default=now_s)


async def run_side(
    name: str,
    mparticle: MParticle,
    traffic: Traffic,
    *,
    settings: DemoSettings,
    api: LoopbackPartner,
    view: View,
    queues: DesignQueues | None = None,
) -> Side:
    """Take one design through the whole of it. Raises DemoFailed when it does not even answer."""
    async with mparticle:
        await _greet(name, mparticle, traffic)
        view.say(f"{name}: registration and probes answered; warming up")
        await _warm_up(name, mparticle, traffic.warm_up, api)
        api.begin(traffic.behaviour)
        view.say(
            f"{name}: {len(traffic.requests):,} requests over {traffic.due_s[-1]:.0f} s,"
            f" {settings.spike_rps:.0f} a second at the peak"
        )
        watch = _Watch(settings, name, api, time.monotonic(), traffic.expected)
        watching = asyncio.create_task(_watch(watch, mparticle, view, queues))
        try:
            await mparticle.spike(traffic.requests, traffic.due_s, watch.book)
            await _drain(watch, queues)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    remains = Remains() if queues is None else await asyncio.to_thread(queues.remains)
    ledger = api.ledger
    api.begin()
    return Side(
        watch.began_s,
        watch.invocations,
        ledger,
        watch.samples,
        remains,
        traffic.expected,
        busy_elsewhere=watch.busy_elsewhere,
    )


async def _greet(name: str, mparticle: MParticle, traffic: Traffic) -> None:
    """Do what mParticle does before it sends anything: ask for the registration, and probe."""
    registration = await mparticle.invoke(traffic.registration)
    _need(name, "the registration", registration)
    if orjson.loads(registration.payload).get("type") != "module_registration_response":
        raise DemoFailed(f"{name} answered the registration with something else")
    for probe in traffic.probes:
        _need(name, "a verification probe", await mparticle.invoke(probe))


async def _warm_up(name: str, mparticle: MParticle, parcels: Sequence[Parcel], api: LoopbackPartner) -> None:
    """Start every execution environment before anything is measured: a burst at the limit, twice."""
    sent: set[str] = set()
    for half in (parcels[::2], parcels[1::2]):
        answers = await asyncio.gather(*(mparticle.invoke(parcel) for parcel in half))
        sent |= {event_id for one in answers if one.outcome is Ended.ACCEPTED for event_id in one.parcel.event_ids}
        if not sent:
            _need(name, "the warm-up", answers[0])
        heard_s, missing = time.monotonic(), len(sent)
        while sent - api.ledger.arrivals.keys():
            await asyncio.sleep(0.2)
            if (now_missing := len(sent - api.ledger.arrivals.keys())) < missing:
                heard_s, missing = time.monotonic(), now_missing
            if time.monotonic() - heard_s > STALLED_S:
                raise DemoFailed(f"{name}: {missing} events of the warm-up did not reach the partner")


def _need(name: str, what: str, invocation: Invocation) -> None:
    if invocation.outcome is not Ended.ACCEPTED:
        said = invocation.payload[:300].decode("utf-8", "replace") or "no answer"
        raise DemoFailed(f"{name} did not answer {what}: {invocation.outcome}, status {invocation.status}, {said}")


async def _watch(watch: _Watch, mparticle: MParticle, view: View, queues: DesignQueues | None) -> None:
    while True:
        watch.arrived()
        watch.busy_elsewhere = watch.neighbours.share()
        if queues is not None:
            await asyncio.to_thread(watch.look, queues)
        view.show(watch.progress(mparticle.in_flight))
        await asyncio.sleep(SAMPLE_S)


async def _drain(watch: _Watch, queues: DesignQueues | None) -> None:
    """Wait until every accepted event that can arrive has, and the queue is empty, or until nothing moves any more."""
    heard_s, missing = time.monotonic(), len(watch.waiting)
    while missing:
        await asyncio.sleep(SAMPLE_S / 2)
        watch.arrived()
        if len(watch.waiting) < missing or watch.is_down(time.monotonic()):
            heard_s, missing = time.monotonic(), len(watch.waiting)
        elif time.monotonic() - heard_s > (EMPTY_S if watch.is_empty() else STALLED_S):
            return
    empty_by_s = time.monotonic() + (queues.settle_s if queues else 0)
    while not watch.is_empty() and time.monotonic() < empty_by_s:
        await asyncio.sleep(SAMPLE_S / 2)
