"""For work whose failure is nobody's end: it was settled already, or it is not one record's."""

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
