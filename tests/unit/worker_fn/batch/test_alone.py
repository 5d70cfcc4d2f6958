"""An exception over one record never affects another, whatever is raised and wherever."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from partners import Delivery, LeftOut
from shared.firehose import EventProcessingRequest, Request
from shared.state import Item, progress_key
from testkit.records import raw_record, record
from tests.fakes.echo import Echo
from worker_fn.batch.alone import or_else

ERRORS = [ValueError, OverflowError, RecursionError, MemoryError, ArithmeticError, ExceptionGroup]


def raised(kind: type[Exception]) -> Exception:
    return kind("canary@example.com", [OSError("canary")]) if kind is ExceptionGroup else kind("canary@example.com")


def with_envelope(record_: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**record_, "body": json.dumps({**json.loads(record_["body"]), **fields})}


def in_payload(record_: dict[str, Any], text: str) -> dict[str, Any]:
    """The same record with one more field in its request, as JSON text."""
    return {**record_, "body": record_["body"].replace('"events"', f'"x":{text},"events"', 1)}


BODIES = {
    "a time of 400 digits": lambda one: {
        **one,
        "body": one["body"].replace('"received_at_ms":1700000000000', f'"received_at_ms":{"9" * 400}'),
    },
    "a time before everything": lambda one: with_envelope(one, received_at_ms=-(10**300)),
    "an exponent beyond any": lambda one: in_payload(one, "1e99999999999999999999"),
    "a small exponent beyond any": lambda one: in_payload(one, "1e-99999999999999999999"),
    "an integer of 5,000 digits": lambda one: in_payload(one, "9" * 5_000),
    "deep nesting": lambda one: in_payload(one, "[" * 5_000 + "]" * 5_000),
    "no text for a body": lambda one: {**one, "body": None},
    "no body": lambda one: {name: value for name, value in one.items() if name != "body"},
    "a lone surrogate": lambda one: with_envelope(one, id="\ud800"),
    "an account that is no text": lambda one: with_envelope(one, account_id=["7"]),
}


@pytest.mark.parametrize("fault", BODIES)
def test_a_body_costs_itself_alone(fault: str, fleet: Any) -> None:
    """Whatever a record's body contains, the record ends once, and its neighbours are delivered once."""
    odd = BODIES[fault](record(2, ["200"]))
    report = fleet.run(record(1, ["200"]), odd, record(3, ["200"]))
    assert [one for one in fleet.api.ids if one[0] != "2"] == ["1.0", "3.0"]
    assert "m-1" not in report.failures
    assert "m-3" not in report.failures
    assert report.delivered + len(report.failures) + report.dead_lettered == 3


ATTRIBUTES: list[Any] = [
    None,
    {},
    "text",
    {"ApproximateReceiveCount": None},
    {"ApproximateReceiveCount": "many", "SentTimestamp": "never", "ApproximateFirstReceiveTimestamp": 5},
    {"ApproximateReceiveCount": "9" * 5_000},
    {"ApproximateReceiveCount": ["1"], "MessageGroupId": {"a": 1}},
    {"ApproximateReceiveCount": "²"},
]


@pytest.mark.parametrize("attributes", ATTRIBUTES)
@pytest.mark.parametrize("name", ["200", "503", "boom", "400"])
@pytest.mark.parametrize("in_groups", [False, True])
def test_odd_attributes_cost_their_record_alone(attributes: Any, name: str, in_groups: bool, make_fleet: Any) -> None:
    """A record with attributes that SQS would not send is processed all the same, and so are its neighbours."""
    fleet = make_fleet(in_groups=in_groups)
    odd = {**record(2, [name]), "attributes": attributes}
    report = fleet.run(record(1, ["200"], group="a"), odd, record(3, ["200"], group="b"))
    assert [one for one in fleet.api.ids if one[0] != "2"] == ["1.0", "3.0"]
    assert report.failures == (["m-2"] if name == "503" else [])
    assert report.dead_lettered == (name in {"boom", "400"})


def test_without_attributes_a_message_is_resumed(fleet: Any) -> None:
    """If the number of receives is unknown, the message's progress is looked up."""
    fleet.run(record(1, ["200", "503|200"]))
    fleet.clock.now_s += 60
    fleet.run({**record(1, ["200", "503|200"]), "attributes": {}})
    assert fleet.api.ids == ["1.0", "1.1", "1.1"]


@pytest.mark.parametrize("message_id", [None, "", 0])
@pytest.mark.parametrize("name", ["200", "503", "400"])
@pytest.mark.parametrize("broken", [False, True])
def test_no_name_that_would_bring_back_the_batch(message_id: Any, name: str, broken: bool, fleet: Any) -> None:
    """A record without an id is not reported, because an empty identifier would bring its neighbours back, too."""
    fleet.queue.broken = broken
    odd = {**record(2, [name]), "messageId": message_id}
    report = fleet.run(record(1, ["200"]), odd)
    assert report.failures == []
    assert "1.0" in fleet.api.ids


@pytest.mark.parametrize("handle", [None, ""])
def test_a_record_that_can_not_be_hidden_is_reported(handle: Any, fleet: Any) -> None:
    """A record without a receipt handle comes back when the visibility timeout ends; its neighbours are hidden."""
    report = fleet.run({**record(1, ["503"]), "receiptHandle": handle}, record(2, ["503"]))
    assert (report.failures, set(fleet.queue.hidden)) == (["m-1", "m-2"], {"h-2"})


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("step", ["resume", "note_left_out", "suspend_refused", "conclude"])
def test_a_step_that_raises_ends_its_record(
    step: str, error: type[Exception], fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead letter names the place and not the content; delivered calls are remembered, so a redrive repeats
    none.
    """
    monkeypatch.setattr(f"worker_fn.batch.drain.{step}", raising(f"worker_fn.batch.drain.{step}", error))
    report = fleet.run(record(1, ["200", "200"], receives=2), record(2, ["200"]), record(3, ["503"]))
    assert (report.delivered, report.failures) == (1, ["m-3"])
    [(reason, text)] = fleet.letters()
    assert reason == "failed"
    assert text.startswith(f"{error.__name__} in test_alone.py:")
    monkeypatch.undo()
    sent = len([one for one in fleet.api.ids if one[0] == "1"])
    assert sent == (0 if step == "resume" else 2)
    if sent:
        assert len(fleet.state.items[progress_key("7", "r-1"), "1/1"].value["done"]) // 8 == 2


def raising(path: str, error: type[Exception]) -> Any:
    """A step that raises over the message r-1."""
    module, _, name = path.rpartition(".")
    real = getattr(__import__(module, fromlist=[name]), name)

    async def step(job: Any, **named: Any) -> None:
        if job.message.id == "r-1":
            raise raised(error)
        await real(job, **named)

    return step


def test_what_was_delivered_is_not_dead_lettered_for_what_comes_after(
    fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If deleting its progress raises, a delivered message still leaves the queue, and the log has the error."""
    lines: list[dict[str, Any]] = []
    fleet.run(record(1, ["200", "503|200"]))
    fleet.clock.now_s += 60

    async def forget(*_: Any) -> None:
        raise OverflowError("canary@example.com")

    monkeypatch.setattr("worker_fn.batch.conclude.forget_progress", forget)
    worker = replace(fleet.worker, log=lambda message, **fields: lines.append({"message": message, **fields}))
    report = fleet.run(record(1, ["200", "503|200"], receives=2), worker=worker)
    assert (report.delivered, report.failures, fleet.queue.dead) == (1, [], [])
    [line] = lines
    assert line["error"].startswith("OverflowError in test_alone.py:")
    assert "canary" not in json.dumps(lines)


def test_progress_that_can_not_be_read_ends_its_message(fleet: Any) -> None:
    """If a message's progress is an item that no worker wrote, nothing of the message is sent, and the others are
    delivered.
    """
    fleet.state.items[progress_key("7", "r-1"), "1/1"] = Item(1, {"done": 5})
    report = fleet.run(record(1, ["200"], receives=2), record(2, ["200"], receives=2))
    assert (fleet.api.ids, report.delivered) == (["2.0"], 1)
    assert fleet.letters()[0][0] == "failed"


@pytest.mark.parametrize("error", ERRORS)
def test_a_call_on_which_our_code_fails_waits_and_is_given_up(
    error: type[Exception], make_fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If our code fails around a call, the call may have arrived: its message waits until it has failed too often, and
    the batch's other calls are made.
    """
    from worker_fn.dispatch import caller

    real = caller.classify

    def classify(answer: Any, **named: Any) -> Any:
        if answer.status == 299:
            raise raised(error)
        return real(answer, **named)

    monkeypatch.setattr(caller, "classify", classify)
    fleet = make_fleet()
    receives = 0
    while not fleet.queue.dead:
        receives += 1
        fleet.clock.now_s += 60
        report = fleet.run(record(100 + receives, ["200"]), record(1, ["299"], receives=receives))
        assert report.delivered == 1
        assert receives < 60
    [(reason, text)] = fleet.letters()
    assert (reason, "canary" in text) == ("rejected", False)
    assert text.startswith(f"{error.__name__} in test_alone.py:")


def test_a_probe_on_which_our_code_fails_holds_nobody(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If our code fails on the breaker's probe, the probe still gets a result, and the batch ends."""
    from worker_fn.dispatch import caller

    fleet.run(*(record(n, ["503"]) for n in range(30)))
    fleet.clock.now_s += 60

    def classify(*_: Any, **__: Any) -> Any:
        raise OverflowError

    monkeypatch.setattr(caller, "classify", classify)
    report = fleet.run(*(record(n, ["200"]) for n in range(50, 60)))
    assert len(report.failures) == 10


@pytest.mark.parametrize("error", ERRORS)
def test_a_record_that_can_not_be_moved_stays(error: type[Exception], fleet: Any) -> None:
    """Whatever the move to the dead-letter queue raises, the record is reported, and other records are moved."""
    real = fleet.queue.dead_letter

    async def dead_letter(moved: Any, attributes: Any) -> None:
        if moved["messageId"] == "m-1":
            raise raised(error)
        await real(moved, attributes)

    fleet.queue.dead_letter = dead_letter
    report = fleet.run(record(1, ["400"]), record(2, ["400"]), record(3, ["200"]))
    assert (report.failures, report.dead_lettered, report.delivered) == (["m-1"], 1, 1)


def test_an_accounts_line_that_fails_leaves_the_others(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no return times can be reserved for an account, its messages come back after their usual wait."""
    real = fleet.worker.limiters.line

    def line(account_id: str) -> Any:
        if account_id == "7":
            raise KeyError("canary@example.com")
        return real(account_id)

    monkeypatch.setattr(fleet.worker.limiters, "line", line)
    report = fleet.run(record(1, ["503"]), record(2, ["503"], account=8), record(3, ["200"]))
    assert (report.failures, report.delivered) == (["m-1", "m-2"], 1)


class Wicked(Echo):
    """A partner whose code fails in odd ways at the event that asks for it."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def deliveries(self, request: Request) -> Iterable[Delivery | LeftOut]:  # type: ignore[override]
        assert isinstance(request, EventProcessingRequest)
        for event in request.events:
            if event.raw["name"] == "raise":
                raise raised(self.error)
            yield from super().deliveries(request.model_copy(update={"events": [event]}))


@pytest.mark.parametrize("error", [*ERRORS, StopIteration])
def test_a_mapping_that_raises_ends_its_message_before_any_call(error: type[Exception], make_fleet: Any) -> None:
    """If a mapping raises after its first deliveries, nothing of the message is sent."""
    fleet = make_fleet(Wicked(error))
    report = fleet.run(record(1, ["200", "raise", "200"]), record(2, ["200"]))
    assert (fleet.api.ids, report.delivered) == (["2.0"], 1)
    [(reason, text)] = fleet.letters()
    assert reason == "unmappable"
    assert "canary" not in text


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_is_not_swallowed(stop: type[BaseException], make_fleet: Any) -> None:
    """Only an `Exception` ends a record alone; whatever else is raised ends the batch."""
    fleet = make_fleet(Wicked(stop))  # type: ignore[arg-type]
    with pytest.raises(stop):
        fleet.run(record(1, ["raise"]))


def test_a_batch_of_nothing_but_damage_ends(fleet: Any) -> None:
    """In a batch of records that are all damaged, each record ends."""
    report = fleet.run(*(raw_record(n, "\x00") for n in range(5)), {"messageId": "m-9"})
    assert report.dead_lettered + len(report.failures) == 6


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


def test_a_stop_is_no_failure_of_some_work() -> None:
    """An exception that ends the process is passed on."""
    with pytest.raises(SystemExit):
        asyncio.run(or_else(fails(SystemExit()), lambda _: "failed"))
