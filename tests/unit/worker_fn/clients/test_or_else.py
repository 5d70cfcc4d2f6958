"""Work whose failure must not end anything else."""

import asyncio

import pytest

from worker_fn.clients.or_else import or_else


async def fails(error: BaseException) -> str:
    raise error


async def works() -> str:
    return "done"


def test_what_works_gives_its_result() -> None:
    """Work that succeeds returns its result."""
    assert asyncio.run(or_else(works(), lambda _: "failed")) == "done"


def test_what_fails_gives_what_is_made_of_it() -> None:
    """After any failure the substitute is returned."""
    assert asyncio.run(or_else(fails(OverflowError("x")), lambda error: type(error).__name__)) == "OverflowError"


def test_what_ends_the_process_is_not_swallowed() -> None:
    """An exception that ends the process is passed on."""
    with pytest.raises(SystemExit):
        asyncio.run(or_else(fails(SystemExit()), lambda _: "failed"))
