"""One record never costs another: whatever a step raises over a record ends that record alone.

Every step of the batch's main path goes through here, so no other code of that path lists exceptions. Failures of the
batch as a whole (a table or queue out of reach) are handled where they are met. A BaseException that is no Exception
(the loop is closed, the process is told to stop) ends the batch.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from worker_fn.batch.job import Job

T = TypeVar("T")
OtherT = TypeVar("OtherT")


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


async def or_else(work: Awaitable[T], otherwise: Callable[[Exception], OtherT]) -> T | OtherT:
    """The result of work whose failure ends no record, or what the caller makes of it: the record is settled already,
    or the work concerns several.
    """
    try:
        return await work
    except Exception as error:
        return otherwise(error)
