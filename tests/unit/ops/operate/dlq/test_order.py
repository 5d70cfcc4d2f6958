"""A redrive from the plan to its end, with an SQS in memory and on a clock of the test's."""

import io
import tracemalloc
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ops.console.screen import Screen
from ops.operate.dlq import order
from ops.operate.dlq.archive import letters_in
from ops.operate.dlq.desk import Desk
from ops.operate.dlq.filters import Filter
from ops.operate.dlq.forecast import Deployed, Fate, Forecast
from ops.operate.dlq.letters import Letter
from ops.operate.dlq.order import Order
from ops.operate.dlq.pace import Allowance
from ops.operate.dlq.queues import LettersUnavailable
from testkit.state import MemoryState
from tests.fakes.clock import Clock
from tests.fakes.sqs import MemorySqs


@dataclass
class MemoryStack:
    """What a redrive with a rate of its own asks a stack for."""

    sqs: MemorySqs
    stage: str = "test"
    table: MemoryState = field(default_factory=MemoryState)

    def client(self, service: str, **_: Any) -> MemorySqs:
        assert service == "sqs"
        return self.sqs

    def output(self, key: str) -> str:
        return {"DlqUrl": "dlq", "QueueUrl": "main"}[key]

    def state(self, **_: Any) -> MemoryState:
        return self.table


class Sendable:
    """Says of every letter that it would be sent: what a mapping makes of it is not the matter here."""

    is_blind = False

    def of(self, letters: Sequence[Letter]) -> list[Forecast]:
        return [Forecast(Fate.SENT, 1) for _ in letters]


@pytest.fixture(autouse=True)
def all_are_sendable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "forecaster", lambda *_: (Deployed(None, "partners.acme"), Sendable()))
    monkeypatch.setattr(order, "commit", lambda _: "abc1234")


def desk_of(sqs: MemorySqs, clock: Clock, exports: Path) -> Desk:
    stack: Any = MemoryStack(sqs)
    screen = Screen(file=io.StringIO(), width=80, force_terminal=False)
    return Desk(stack, screen, clock.now_ms, clock, clock.sleep, exports)


def said(desk: Desk) -> str:
    file: Any = desk.console.file
    return " ".join(file.getvalue().split())


def fill(sqs: MemorySqs, count: int) -> None:
    for number in range(count):
        sqs.put("dlq", f"b{number}", reason="rejected" if number % 4 else "unmappable", account_id="7")


def test_memory_is_flat_and_the_rate_is_held_from_the_plan_to_the_last_letter(clock: Clock, tmp_path: Path) -> None:
    """Looked at, planned, exported and sent: ten times the letters take no more memory."""
    peaks = []
    for count in (400, 4_000):
        times = list[float]()
        sqs = MemorySqs(clock, call_s=0.002)
        fill(sqs, count)
        sqs.log = lambda url, _, times=times: times.append(clock()) if url == "main" else None  # type: ignore[misc]
        desk = desk_of(sqs, clock, tmp_path / str(count))
        tracemalloc.start()
        code = order.redrive(desk, Order(Filter(reasons={"rejected"}), is_yes=True, per_s=200.0))
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        peaks.append(peak - kept)
        assert (code, len(times), len(sqs.bodies("dlq"))) == (0, count * 3 // 4, count // 4)
        assert len(times) / (times[-1] - times[0]) == pytest.approx(200, rel=0.1)
        (exported,) = desk.exports.iterdir()
        assert sum(isinstance(one, Letter) for one in letters_in(exported)) == len(times)
    assert peaks[1] < 2 * peaks[0] + 200_000, peaks


def test_ctrl_c_ends_well_and_the_same_command_goes_on(
    clock: Clock, sqs: MemorySqs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was under way is ended, the rest is back in sight, and it is said what is left."""
    fill(sqs, 400)
    stops = iter([False] * 5 + [True] * 100)
    monkeypatch.setattr(order, "stopping", lambda: nullcontext(lambda: next(stops)))
    asked = Order(Filter(reasons={"rejected"}), is_yes=True, per_s=20.0)
    desk = desk_of(sqs, clock, tmp_path)
    assert order.redrive(desk, asked) == 1
    sent = len(sqs.bodies("main"))
    assert f"{sent} of 300 sent, stopped by hand {300 - sent} are left: the same command goes on" in said(desk)
    assert sqs.hidden("dlq") == 0
    stops = iter([False] * 1_000)
    assert order.redrive(desk, asked) == 0
    assert len(sqs.bodies("main")) == len(set(sqs.bodies("main"))) == 300


@pytest.mark.parametrize("code", ["all come back", "nothing is left over", "nothing matches"])
def test_an_export_of_what_was_not_sent_does_not_stay(
    code: str, clock: Clock, sqs: MemorySqs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds people's data, and nobody would know of it."""
    fill(sqs, 4)
    fate = Fate.UNMAPPABLE if code == "all come back" else Fate.SENT
    monkeypatch.setattr(Sendable, "of", lambda _, found: [Forecast(fate, 1) for _ in found])
    monkeypatch.setattr(order, "_allowance", lambda *_: Allowance(0.0, "busy"))
    reasons = {"too_old"} if code == "nothing matches" else {"rejected"}
    asked = Order(Filter(reasons=reasons), is_yes=True, sendable_only=True)
    ending = pytest.raises(LettersUnavailable) if code == "nothing is left over" else nullcontext()
    with ending:
        order.redrive(desk_of(sqs, clock, tmp_path), asked)
    assert not list(tmp_path.iterdir())
    assert (len(sqs.bodies("dlq")), sqs.hidden("dlq")) == (4, 0)


def test_with_a_file_of_its_own_the_command_that_goes_on_names_another(
    clock: Clock, sqs: MemorySqs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one is there, and stays as it is."""
    fill(sqs, 400)
    stops = iter([False] * 5 + [True] * 100)
    monkeypatch.setattr(order, "stopping", lambda: nullcontext(lambda: next(stops)))
    desk = desk_of(sqs, clock, tmp_path)
    asked = Order(Filter(), is_yes=True, per_s=20.0, export=tmp_path / "a.ndjson.gz")
    assert order.redrive(desk, asked) == 1
    assert "the same command goes on, with another --export." in said(desk)
