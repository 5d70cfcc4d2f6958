"""Work that may fail without ending a record: the record is settled already, or the work concerns several."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
OtherT = TypeVar("OtherT")


async def or_else(work: Awaitable[T], otherwise: Callable[[Exception], OtherT]) -> T | OtherT:
    """The result of some work, or what the caller makes of its failure."""
    try:
        return await work
    except Exception as error:
        return otherwise(error)
