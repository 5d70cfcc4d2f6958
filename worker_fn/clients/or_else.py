"""Work that may fail without ending a record: the record is settled already, or the work is of several."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
OtherT = TypeVar("OtherT")


async def or_else(work: Awaitable[T], otherwise: Callable[[Exception], OtherT]) -> T | OtherT:
    """What some work comes to, or what is made of its failure."""
    try:
        return await work
    except Exception as error:
        return otherwise(error)
