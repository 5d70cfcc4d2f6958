"""The intake: the event source mapping that feeds the worker from the queue. Paused while nobody may be called.

A paused mapping delivers nothing, so messages stay visible in the queue, where there is no limit, instead of in
flight, where there is one (120,000). Whether it should be paused follows from the shared flow alone; the tick mends
whatever a dead worker or a failed call left half done.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from shared.errors import StateUnavailable
from shared.state import PARTNER, Conflict, State

MAPPING = "mapping"
"""Under the partner's key: the mapping's id, which the tick is told and the others read."""


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

    async def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the simulation runs without boto3

        function = getattr(self._client, operation)
        try:
            answer: dict[str, Any] = await asyncio.to_thread(lambda: function(UUID=self._mapping_id, **arguments))
        except (BotoCoreError, ClientError) as error:
            raise IntakeUnavailable(f"{operation} failed ({type(error).__name__})") from None
        return answer


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
