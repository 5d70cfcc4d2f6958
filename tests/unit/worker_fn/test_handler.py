"""The Lambda entry: a batch or a tick in, what Lambda needs out."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import InvalidSettings
from testkit.records import record
from tests.fakes.mapping import FakeMapping
from tests.unit.worker_fn.intake import FakeParking
from worker_fn import handler as entry
from worker_fn.clients.counts import CountsUnavailable, Step

CONTEXT = SimpleNamespace(
    function_name="worker",
    memory_limit_in_mb="512",
    invoked_function_arn="arn",
    aws_request_id="id",
    get_remaining_time_in_millis=lambda: 60_000,
)


@pytest.fixture
def worker(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The entry point with a worker of fakes in place of the deployed one."""
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(entry, "_settings", lambda: SimpleNamespace(stage="test", max_concurrency=10))
    monkeypatch.setattr(entry, "_stored", lambda: SimpleNamespace(texts=lambda: ()))
    monkeypatch.setattr(entry, "_worker", lambda _: fleet.worker)
    monkeypatch.setattr(entry, "_loop", lambda: loop)
    monkeypatch.setattr(entry, "event_source_mapping", lambda _: FakeMapping())
    yield fleet
    loop.close()


def test_what_must_come_back_is_named_to_lambda(worker: Any) -> None:
    """Only messages that must come back are reported to Lambda; all others leave the queue."""
    answer = entry.handler({"Records": [record(1, ["200"]), record(2, ["503"])]}, CONTEXT)  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-2"}]}


def test_a_tick_says_what_it_did_and_leaves_the_mappings_id(worker: Any) -> None:
    """A tick returns what it did, and writes the mapping's id into the state table for workers that get no tick."""
    worker.worker = replace(worker.worker, queue=FakeParking())
    answer = entry.handler({"tick": {"mapping_id": "uuid"}}, CONTEXT)  # type: ignore[arg-type]
    assert (answer["running"], answer["trouble"]) == (True, 0)
    assert worker.state.items["partner", "mapping"].value == {"id": "uuid"}


class Day:
    """CloudWatch's counts of a day in which one message vanished."""

    async def of_a_day(self, now_ms: int) -> list[Step]:
        return [Step(0, 0, depth, depth) for depth in [1] * 40 + [0] * 40]


class NoDay:
    """CloudWatch, out of reach."""

    async def of_a_day(self, now_ms: int) -> list[Step]:
        raise CountsUnavailable("AccessDenied")


@pytest.mark.parametrize(("counts", "minute", "gap"), [(Day(), 7, [1]), (Day(), 8, None), (NoDay(), 7, None)])
def test_the_hours_tick_counts_the_ledgers_gap(
    worker: Any, counts: Any, minute: int, gap: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gap is counted once an hour; a count that fails is not a gap and does not fail the tick."""
    told: list[Any] = []
    worker.worker = replace(
        worker.worker,
        queue=FakeParking(),
        now_ms=lambda: minute * 60_000,
        log=lambda message, **fields: told.append((message, fields)),
    )
    monkeypatch.setattr(entry, "counts", lambda _: counts)
    answer = entry.handler({"tick": {"mapping_id": "uuid"}}, CONTEXT)  # type: ignore[arg-type]
    assert answer["trouble"] == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["LedgerGap"] for line in lines if "LedgerGap" in line] == ([gap] if gap else [])
    known = [("the ledger's gap could not be counted", {"error": "AccessDenied"})]
    assert told == (known if isinstance(counts, NoDay) else [])


def test_a_worker_that_is_made_anew_ends_the_connections_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new worker closes the earlier one's connections; if it cannot be built, the earlier one stays in use."""
    closed: list[str] = []

    def build(_: object, texts: str) -> Any:
        async def close() -> None:
            closed.append(texts)

        if texts == "bad":
            raise InvalidSettings(texts)
        return SimpleNamespace(close=close)

    loop = asyncio.new_event_loop()
    for name, value in {"build": build, "_settings": lambda: None, "_made": [], "_loop": lambda: loop}.items():
        monkeypatch.setattr(entry, name, value)
    make: Any = entry._worker.__wrapped__
    make("old")
    with pytest.raises(InvalidSettings):
        make("bad")
    assert closed == []
    make("new")
    loop.close()
    assert closed == ["old"]
