"""How `make test` shares the tests out among processes (pytest-xdist): a file goes to one of them, the long ones first.

The tests of a file share what is dear: an embedded AWS, a deployed stack, the packages of the deploy tool. So a file
stays together, and some files that share something stay together as well. What takes minutes begins at once, or it
would begin when everything else has ended. One process measures what a partner sees in real time; it goes before the
others on a processor, and they take what it leaves.
"""

import os
from collections.abc import Generator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TIMED = "e2e/test_delivery.py"
"""What measures in real time. It begins first, so that the process that has it has done nothing else."""
LONG = (
    TIMED, "e2e/test_runbook.py", "scenario/test_scenarios.py", "e2e/test_night.py", "e2e/test_demo_of_trouble.py",
    "e2e/test_alias.py", "e2e/test_demo_stopped.py", "e2e/test_local_aws_queues.py", "e2e/test_operating.py",
    "e2e/test_demo.py", "e2e/test_writing_a_partner.py",
    "e2e/", "scenario/", "integration/infra/", "property/",
)  # fmt: skip
"""Longest first; what is not named is short and fills the end. Of the first five all but the scenarios mostly wait for
a clock: those take what the others leave of the processors.
"""
TOGETHER = {"integration/infra/test_template": "templates"}
"""Files by what their names begin with, and what they share."""

STEP_BACK = 10
"""Of 20: how much a process that measures nothing steps back on a busy processor."""


def place_of(test: str) -> str:
    """Give a test's file, below tests/."""
    return test.partition("::")[0].removeprefix("tests/")


def group_of(test: str) -> str:
    place = place_of(test)
    return next((group for start, group in TOGETHER.items() if place.startswith(start)), place)


def rank_of(test: str) -> int:
    place = place_of(test)
    return next((rank for rank, start in enumerate(LONG) if place.startswith(start)), len(LONG))


class Groups(LoadScopeScheduling):
    """Hands out group by group, in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    config.option.loadscopereorder = False  # by their number of tests, the dearest groups would be the last
    return Groups(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Spell out what can be no UTF-8: xdist can not send it, and the whole run would end where one test failed."""
    return encodable((yield))


def encodable(data: Any) -> Any:
    """Give a report with half a surrogate pair as `\\ud800`; anything else as it is."""
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode()
    if isinstance(data, dict):
        return {encodable(name): encodable(value) for name, value in data.items()}
    return type(data)(map(encodable, data)) if type(data) in {list, tuple} else data


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Put long ones first, and groups together, after all was shuffled."""
    result = yield
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank_of(item.nodeid))
    return result


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Step back at the first test that is not timed: what a process has started by then keeps its place."""
    if not hasattr(item.config, "workerinput"):
        return
    if place_of(item.nodeid) != TIMED and os.nice(0) < STEP_BACK:
        os.nice(STEP_BACK)
    for name in ("COLUMNS", "LINES"):  # readline, which pytest loads, told them to this process: no terminal has them
        os.environ.pop(name, None)
