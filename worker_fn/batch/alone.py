"""One record never costs another: whatever a step raises over a record ends that record alone.

Every step of the batch's main path goes through here, so no other code of that path lists exceptions. Failures of the
batch as a whole (a table or queue out of reach) are handled where they are met. A BaseException that is no Exception
(the loop is closed, the process is told to stop) ends the batch.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from worker_fn.batch.job import Job


class ends_alone:  # noqa: N801 - as contextlib has its own
    """Whatever is raised inside decides the job's end, even if it had one."""

    __slots__ = ("_job",)

    def __init__(self, job: Job) -> None:
        self._job = job

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self._job.fail(error)
        return True


async def each(jobs: Iterable[Job], step: Callable[[Job], Awaitable[None]]) -> None:
    """Take a step with each job, one after the other."""
    for job in jobs:
        try:
            await step(job)
        except Exception as error:  # as `ends_alone`, which costs more than most steps
            job.fail(error)


async def side_by_side(jobs: Iterable[Job], step: Callable[[Job], Awaitable[None]]) -> None:
    """Take a step with all jobs at once."""
    await asyncio.gather(*(each([job], step) for job in jobs))
