"""Who gets which tests: what is named there is there, and a file is not divided."""

import execnet
import pytest

from tests import side_by_side
from tests.conftest import ROOT


@pytest.mark.parametrize("start", [*side_by_side.LONG, *side_by_side.TOGETHER])
def test_what_is_named_is_there(start: str) -> None:
    """A file that was renamed does not lose its place unseen."""
    assert list((ROOT / "tests").glob(f"{start}*"))


def test_the_timed_file_is_the_first(request: pytest.FixtureRequest) -> None:
    """A process that began with something else has stepped back, and what it starts is as slow."""
    assert side_by_side.LONG[0] == side_by_side.TIMED
    assert side_by_side.rank_of(request.node.nodeid) == len(side_by_side.LONG)


def test_files_that_share_packages_are_one_group() -> None:
    """The deploy tool packages each kind once for all of them; any other file is a group by itself."""
    infra = [path.name for path in (ROOT / "tests/integration/infra").glob("test_template*.py")]
    assert len(infra) > 3
    assert {side_by_side.group_of(f"tests/integration/infra/{name}::test_x") for name in infra} == {"templates"}
    assert side_by_side.group_of("tests/e2e/test_demo.py::test_x[a::b]") == "e2e/test_demo.py"


@pytest.mark.parametrize("is_failed", [True, False], ids=["why it failed", "what it printed"])
def test_a_report_of_any_text_reaches_the_other_process(request: pytest.FixtureRequest, is_failed: bool) -> None:
    """Half a surrogate pair, as fuzzing finds, is spelled out: one failed test must not end the run."""
    text = "a half \ud800, a whole \U0001f600"
    report = pytest.TestReport(
        nodeid="tests/test_x.py::test_x",
        location=("tests/test_x.py", 1, "test_x"),
        keywords={"test_x": 1},
        outcome="failed" if is_failed else "passed",
        longrepr=text if is_failed else None,
        when="call",
        sections=[("Captured stdout call", text)],
    )
    config = request.config
    data = config.hook.pytest_report_to_serializable(config=config, report=report)
    execnet.dumps(data)
    again = config.hook.pytest_report_from_serializable(config=config, data=data)
    assert (again.longrepr if is_failed else again.capstdout) == "a half \\ud800, a whole \U0001f600"
