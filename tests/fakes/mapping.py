"""An event source mapping that changes at once."""

from worker_fn.clients.mapping import MappingStatus, MappingUnavailable


class FakeMapping:
    """See worker_fn.clients.mapping.EventSourceMapping; `broken` makes every call fail."""

    def __init__(self, *, enabled: bool = True, concurrency: int | None = 10, batch_size: int | None = None) -> None:
        self.enabled, self.concurrency, self.batch_size = enabled, concurrency, batch_size
        self.broken = self.marked = False
        self.settled = True
        self.calls: list[str] = []
        """The changes that were asked for."""

    async def status(self) -> MappingStatus:
        self._check()
        return MappingStatus(self.enabled, self.settled, self.concurrency, self.batch_size)

    async def pause(self) -> None:
        self._called("pause")
        self.enabled = False

    async def resume(self) -> None:
        self._called("resume")
        self.enabled = True

    async def set_concurrency(self, concurrency: int) -> None:
        self._called(f"concurrency {concurrency}")
        self.concurrency = concurrency

    async def is_marked(self) -> bool:
        self._check()
        return self.marked

    def _called(self, name: str) -> None:
        self._check()
        self.calls.append(name)

    def _check(self) -> None:
        if self.broken:
            raise MappingUnavailable("down")
