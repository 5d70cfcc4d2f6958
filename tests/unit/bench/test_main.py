"""`python -m bench`: what it is asked for, and that it runs alone."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import __main__ as main
from bench.measure import CannotMeasure


def test_an_unknown_group_is_answered_with_those_that_there_are() -> None:
    """A usage error that names each group."""
    done = CliRunner().invoke(main.app, ["--only", "nope"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert f"'nope': there are {', '.join(main.GROUPS)}" in " ".join(done.output.replace("│", " ").split())


def test_the_documents_are_written_by_a_full_run_alone() -> None:
    """A part of the rows would replace the whole table."""
    done = CliRunner().invoke(main.app, ["--only", "worker", "--write-docs"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "--write-docs needs every group" in done.output


def test_a_second_bench_says_that_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, before it measures; when the first has ended, the next may run."""
    monkeypatch.setattr(main, "ALONE", tmp_path / "build/.benching")
    (tmp_path / "build").mkdir()
    with main.alone():
        done = CliRunner().invoke(main.app, ["--quick", "--only", "cost"])
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith("nothing was measured: another bench runs in this checkout")
    with main.alone():
        pass


def test_what_keeps_it_from_measuring_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing environment is no traceback."""

    @contextmanager
    def stand(_: object) -> Iterator[None]:
        raise CannotMeasure("there is no .venv-bench")
        yield

    monkeypatch.setattr(main, "ALONE", tmp_path / ".benching")
    monkeypatch.setattr(main, "stand", stand)
    done = CliRunner().invoke(main.app, ["--quick"])
    assert (done.exit_code, done.output) == (2, "nothing was measured: there is no .venv-bench\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_leaves_no_folder(
    number: signal.Signals, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C and SIGTERM leave the block in which everything stands, and nothing is written."""
    left = []

    @contextmanager
    def stand(_: object) -> Iterator[None]:
        try:
            os.kill(os.getpid(), number)
            yield
        finally:
            left.append("cleared")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(main, "ALONE", tmp_path / ".benching")
    monkeypatch.setattr(main, "OUTPUT", tmp_path / "out")
    monkeypatch.setattr(main, "stand", stand)
    try:
        done = CliRunner().invoke(main.app, ["--quick", "--only", "cost"])
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.exit_code, left) == (status, ["cleared"])
    assert not (tmp_path / "out").exists()
