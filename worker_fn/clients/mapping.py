"""The event source mapping, which feeds the worker from the queue; operators know it as the intake. It is paused while
nobody may be called.

A paused mapping delivers nothing, so messages stay visible in the queue, which has no limit, instead of in flight,
where the limit is 120,000. The shared flow, or an operator, decides whether it should be paused; the tick finishes
whatever a dead worker or a failed call left half done.

An operator's pause is in force whatever the mapping says: a deploy or a person may have enabled the mapping, or a batch
may still be under way. So the worker itself looks for the pause.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shared.errors import StateUnavailable
from shared.state import PARTNER, Conflict, State, change, whole_in

MAPPING = "mapping"
"""Under the partner's key: the mapping's id. The tick gets it from its event and writes it; batches read it."""
HOLD = "hold"
"""Under the partner's key: an operator's pause, why and since when; ops/operate/pause.py writes it."""
MARK = "spillway:paused"
"""The mapping's tag while an operator's pause lasts: a tick that cannot read the state table finds it there."""


KNOWN_FOR_MS = 5_000
"""How old a worker's knowledge of an operator's pause may be."""
PAUSED_WAIT_S, LONGEST_PAUSED_WAIT_S = 60, 900
"""How long a message that comes during an operator's pause is hidden: by then the mapping is paused, and the message
stays visible. If it is received again, each wait is longer, because SQS dead-letters it after a thousand receives.
"""


class MappingUnavailable(Exception):
    """Lambda did not carry out a call; the next tick tries again."""


@dataclass(frozen=True, slots=True)
class MappingStatus:
    """`is_settled`: no change of the mapping is under way. `batch_size`: most messages in a batch; None: not known."""

    is_enabled: bool
    is_settled: bool
    concurrency: int | None
    batch_size: int | None = None


class EventSourceMapping(Protocol):
    """The mapping, or a simulated one. Every call may raise MappingUnavailable."""

    async def status(self) -> MappingStatus: ...
    async def pause(self) -> None: ...
    async def resume(self) -> None: ...
    async def set_concurrency(self, concurrency: int) -> None: ...
    async def is_marked(self) -> bool:
        """Whether an operator's pause is noted on the mapping."""


class LambdaMapping:
    """The mapping by its id. `client` is a boto3 Lambda client; its calls, and its making at the first call, run in
    threads.
    """

    def __init__(self, client: Any, mapping_id: str) -> None:
        self._client = client
        self._mapping_id = mapping_id

    async def status(self) -> MappingStatus:
        found = await self._found()
        state = str(found["State"])
        concurrency = (found.get("ScalingConfig") or {}).get("MaximumConcurrency")
        # Every change passes through `Updating`, whether the mapping is enabled or disabled.
        is_enabled, is_settled = state not in {"Disabled", "Disabling"}, state in {"Enabled", "Disabled"}
        return MappingStatus(is_enabled, is_settled, concurrency, found.get("BatchSize"))

    async def pause(self) -> None:
        await self._update(Enabled=False)

    async def resume(self) -> None:
        await self._update(Enabled=True)

    async def set_concurrency(self, concurrency: int) -> None:
        await self._update(ScalingConfig={"MaximumConcurrency": concurrency})

    async def is_marked(self) -> bool:
        tags = await self._call("list_tags", Resource=(await self._found())["EventSourceMappingArn"])
        return MARK in tags.get("Tags", {})

    async def _found(self) -> dict[str, Any]:
        return await self._call("get_event_source_mapping", UUID=self._mapping_id)

    async def _update(self, **changes: Any) -> None:
        await self._call("update_event_source_mapping", UUID=self._mapping_id, **changes)

    async def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return await asyncio.to_thread(self._asked, operation, arguments)

    def _asked(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the simulation runs without boto3

        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**arguments)
        except (BotoCoreError, ClientError) as error:
            raise MappingUnavailable(f"{operation} failed ({type(error).__name__})") from None
        return answer


async def hold(state: State, *, why: str, who: str, now_ms: int, rng: random.Random) -> None:
    """Note an operator's pause; if one is noted already, its beginning stays. Raises StateUnavailable."""

    def noted(value: Mapping[str, Any]) -> tuple[Mapping[str, Any], None]:
        return {"why": why, "who": who, "since_ms": whole_in(value, "since_ms") or now_ms}, None

    await change(state, PARTNER, HOLD, noted, rng=rng)


async def is_held(state: State) -> bool:
    """Whether an operator's pause is in force. Raises StateUnavailable."""
    return bool((await state.read(PARTNER, HOLD)).value)


class Held:
    """An operator's pause, as one Lambda environment knows it. `state`, a shared.state.Patient, bounds each call.

    While the state table is out of reach the last reading stays valid: nobody can end a pause that is noted there. An
    environment that has never read the table does not know of a pause, and delivers.
    """

    def __init__(self, state: State, *, now_ms: Callable[[], int], on_trouble: Callable[[], None]) -> None:
        self._state = state
        self._now_ms = now_ms
        self._on_trouble = on_trouble
        self.was_on = False
        """The last reading."""
        self._read_ms: int | None = None

    async def is_on(self) -> bool:
        """Whether a pause is in force, by a reading that is no older than KNOWN_FOR_MS."""
        now_ms = self._now_ms()
        if self._read_ms is None or now_ms - self._read_ms >= KNOWN_FOR_MS:
            self._read_ms = now_ms
            try:
                self.was_on = await is_held(self._state)
            except StateUnavailable:
                self._on_trouble()
        return self.was_on


def paused_wait_s(receives: int) -> int:
    """How long a message waits that was received `receives` times."""
    return min(LONGEST_PAUSED_WAIT_S, PAUSED_WAIT_S * receives)


async def remember_mapping(state: State, mapping_id: str) -> None:
    """Write the id into the state table, where workers find it. Raises StateUnavailable."""
    item = await state.read(PARTNER, MAPPING)
    if item.value.get("id") != mapping_id:
        try:
            await state.swap(PARTNER, MAPPING, item, {"id": mapping_id}, expires_at=None)
        except Conflict:
            return  # another tick of the same deployment wrote the same


async def known_mapping(state: State) -> str | None:
    """The id that the last tick wrote; None before the first tick, or with the state table down."""
    try:
        found = (await state.read(PARTNER, MAPPING)).value.get("id")
    except StateUnavailable:
        return None
    return found if isinstance(found, str) else None
