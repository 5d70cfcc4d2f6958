"""The intake: the event source mapping that feeds the worker from the queue. Paused while nobody may be called.

A paused mapping delivers nothing, so messages stay visible in the queue, where there is no limit, instead of in
flight, where there is one (120,000). Whether it should be paused follows from the shared flow alone; the tick mends
whatever a dead worker or a failed call left half done.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shared.errors import StateUnavailable
from shared.state import PARTNER, Conflict, State, change

MAPPING = "mapping"
"""Under the partner's key: the mapping's id, which the tick is told and the others read."""
HOLD = "hold"
"""Under the partner's key: an operator paused the intake, why and since when; ops/pause.py writes it."""
MARK = "spillway:paused"
"""The mapping's tag while an operator's pause lasts: a tick that cannot read the state table finds it there."""


class IntakeUnavailable(Exception):
    """Lambda did not do it; the next tick tries again."""


@dataclass(frozen=True, slots=True)
class Status:
    """`is_settled`: no change of it is under way."""

    is_enabled: bool
    is_settled: bool
    concurrency: int | None


class Intake(Protocol):
    """The mapping, or a simulated one. Every call may raise IntakeUnavailable."""

    async def status(self) -> Status: ...
    async def pause(self) -> None: ...
    async def resume(self) -> None: ...
    async def set_concurrency(self, concurrency: int) -> None: ...
    async def is_marked(self) -> bool:
        """Whether an operator's pause is noted on the mapping."""


class LambdaIntake:
    """The mapping by its id. `client` is a boto3 Lambda client; its calls run in threads."""

    def __init__(self, client: Any, mapping_id: str) -> None:
        self._client = client
        self._mapping_id = mapping_id

    async def status(self) -> Status:
        found = await self._call("get_event_source_mapping")
        state = str(found["State"])
        concurrency = (found.get("ScalingConfig") or {}).get("MaximumConcurrency")
        # Every change passes through `Updating`, of an enabled mapping as of a disabled one.
        return Status(state not in {"Disabled", "Disabling"}, state in {"Enabled", "Disabled"}, concurrency)

    async def pause(self) -> None:
        await self._call("update_event_source_mapping", Enabled=False)

    async def resume(self) -> None:
        await self._call("update_event_source_mapping", Enabled=True)

    async def set_concurrency(self, concurrency: int) -> None:
        await self._call("update_event_source_mapping", ScalingConfig={"MaximumConcurrency": concurrency})

    async def is_marked(self) -> bool:
        found = await self._call("get_event_source_mapping")
        tags = await self._call("list_tags", Resource=found["EventSourceMappingArn"])
        return MARK in tags.get("Tags", {})

    async def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the simulation runs without boto3

        function = getattr(self._client, operation)
        named = {} if "Resource" in arguments else {"UUID": self._mapping_id}
        try:
            answer: dict[str, Any] = await asyncio.to_thread(lambda: function(**named, **arguments))
        except (BotoCoreError, ClientError) as error:
            raise IntakeUnavailable(f"{operation} failed ({type(error).__name__})") from None
        return answer


async def hold(state: State, *, why: str, now_ms: int, rng: random.Random) -> None:
    """Note an operator's pause; one that lasts already keeps its beginning. Raises StateUnavailable."""

    def noted(value: Mapping[str, Any]) -> tuple[Mapping[str, Any], None]:
        return {"why": why, "since_ms": value.get("since_ms", now_ms)}, None

    await change(state, PARTNER, HOLD, noted, rng=rng)


async def is_held(state: State) -> bool:
    """Whether an operator paused the intake. Raises StateUnavailable."""
    return bool((await state.read(PARTNER, HOLD)).value)


async def remember_mapping(state: State, mapping_id: str) -> None:
    """Keep the id where workers find it. Raises StateUnavailable."""
    item = await state.read(PARTNER, MAPPING)
    if item.value.get("id") != mapping_id:
        try:
            await state.swap(PARTNER, MAPPING, item, {"id": mapping_id}, expires_at=None)
        except Conflict:
            return  # another tick of the same deployment wrote the same


async def known_mapping(state: State) -> str | None:
    """The id that the last tick was told; None before the first, or with the state table down."""
    try:
        found = (await state.read(PARTNER, MAPPING)).value.get("id")
    except StateUnavailable:
        return None
    return found if isinstance(found, str) else None
