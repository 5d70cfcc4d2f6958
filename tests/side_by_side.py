"""How `make test` shares the tests out among processes (pytest-xdist): a file goes to one of them, the long ones first.

The tests of a file share what is dear: an embedded AWS, a deployed stack, the packages of the deploy tool. So a file
stays together, and some files that share something stay together as well. What takes minutes begins at once, or it
would begin when everything else has ended. One process measures what a partner sees in real time; it goes before the
others on a processor, and they take what it leaves.
"""

import os
from collections.abc import Generator

import pytest

TIMED = "e2e/test_delivery.py"
"""What measures in real time. It begins first, so that the process that has it has done nothing else."""
LONG = (
    TIMED, "e2e/test_demo.py", "e2e/test_alias.py", "e2e/test_local_aws_queues.py", "e2e/test_operating.py",
    "e2e/test_writing_a_partner.py", "e2e/", "scenario/", "integration/infra/", "property/",
)  # fmt: skip
"""Longest first; what is not named here is short and fills the end."""
TOGETHER = {"integration/infra/test_template": "templates"}
"""Files by what their names begin with, and what they share."""

STEP_BACK = 10
"""Of 20: how much a process that measures nothing steps back on a busy processor."""


def place_of(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0].removeprefix("tests/")


def group_of(place: str) -> str:
    return next((group for start, group in TOGETHER.items() if place.startswith(start)), place)


def rank_of(item: pytest.Item) -> int:
    place = place_of(item)
    return next((rank for rank, start in enumerate(LONG) if place.startswith(start)), len(LONG))


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Name the group of each test before pytest-xdist looks, and put long ones first after all else was shuffled."""
    if not hasattr(config, "workerinput"):
        return (yield)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(place_of(item))))
    result = yield
    items.sort(key=rank_of)
    return result


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Step back at the first test that is not timed: what a process has started by then keeps its place."""
    if hasattr(item.config, "workerinput") and place_of(item) != TIMED and os.nice(0) < STEP_BACK:
        os.nice(STEP_BACK)
