"""The verbs of `spillway dlq`: what is asked for, looked at, planned, done, and written down."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from infra.build import commit
from infra.stage import ROOT
from ops.console.screen import DIM, GOOD, WARN
from ops.console.terminal import safe, say_json
from ops.operate import pause, trail
from ops.operate.dlq import imports, pace, progress_bar, screens
from ops.operate.dlq.archive import Archive
from ops.operate.dlq.filters import Filter
from ops.operate.dlq.forecast import COMES_BACK, PLANNED_AT_ONCE, Forecaster, Named, forecaster, only_its_name
from ops.operate.dlq.groups import Groups
from ops.operate.dlq.letters import Letter
from ops.operate.dlq.look import HIDDEN_S, MOST_LETTERS, Looked, look
from ops.operate.dlq.notebook import Notebook
from ops.operate.dlq.pace import Allowance, Pacer
from ops.operate.dlq.plan import Plan
from ops.operate.dlq.queues import LetterQueue, LettersUnavailable
from ops.operate.dlq.redrive import Moved, Redrive
from ops.operate.stack import Stack
from partners import Limits
from shared.errors import StateUnavailable
from shared.state import DynamoState

EXPORTS = Path("dlq-exports")
WAITING = 100
"""So many messages may wait in the queue whatever the rate is."""


@dataclass(frozen=True)
class Desk:
    """A stage's letters, and where to print."""

    stack: Stack
    console: Console
    now_ms: Callable[[], int] = lambda: int(time.time() * 1_000)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    exports: Path = EXPORTS
    named: Named = only_its_name
    """Where a worker with such an environment delivers."""
    hands: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def dead(self) -> LetterQueue:
        return LetterQueue(self._sqs, self.stack.output("DlqUrl"))

    @property
    def main(self) -> LetterQueue:
        return LetterQueue(self._sqs, self.stack.output("QueueUrl"))

    @property
    def state(self) -> DynamoState:
        return DynamoState(self.stack.client("dynamodb"), self.stack.output("StateTableName"))

    @property
    def _sqs(self) -> Any:
        if "sqs" not in self.hands:
            self.hands["sqs"] = self.stack.client("sqs", max_pool_connections=32)
        return self.hands["sqs"]


def summary(desk: Desk, chosen: Filter, by: tuple[str, ...], *, as_json: bool) -> int:
    """Print the letters in groups; returns 0."""
    groups = Groups(by, now_ms=desk.now_ms())
    looked = look(desk.dead, lambda one: groups.add(one) if chosen.matches(one) else None, clock=desk.clock)
    if as_json:
        found = [{**dict(zip(by, one.key, strict=True)), **asdict(one)} for one in groups.largest_first()]
        for one in found:
            del one["key"]
        say_json(screens.as_json({"letters": groups.count, "groups": found, "looked": asdict(looked)}))
        return 0
    if groups.count:
        screens.summary(groups, by, desk.console, now_ms=desk.now_ms())
    else:
        _nothing(desk, looked, chosen)
    screens.show_notes(looked, desk.console, is_fifo=desk.dead.is_fifo)
    return 0


def listed(desk: Desk, chosen: Filter, *, most: int, as_json: bool) -> int:
    """Print a line for each letter, `most` of them; returns 0."""
    shown: list[Letter] = []

    def each(letter: Letter) -> bool:
        if not chosen.matches(letter):
            return False
        if not as_json:
            if not shown:
                screens.heading(desk.console)
            screens.row(letter, desk.console, now_ms=desk.now_ms())
        shown.append(letter)
        return len(shown) >= most

    looked = look(desk.dead, each, clock=desk.clock)
    if as_json:
        say_json(screens.as_json({"letters": [screens.as_dict(one) for one in shown], "looked": asdict(looked)}))
        return 0
    if not shown:
        _nothing(desk, looked, chosen)
    elif len(shown) >= most and looked.there > len(shown):
        desk.console.print(
            Text(f"{most:,} of them are listed, about {looked.there:,} lie there: --limit, or a filter.", style=DIM)
        )
    screens.show_notes(looked, desk.console, is_fifo=desk.dead.is_fifo)
    return 0


def show(desk: Desk, letter_id: str, *, reveal: bool) -> int:
    """Print the letter with this id, or those of the request with it; returns 0 if there is one."""
    found: list[Letter] = []

    def each(letter: Letter) -> bool:
        if letter_id in {letter.id, letter.request_id}:
            found.append(letter)
        return letter.id == letter_id or len(found) >= screens.MOST_GROUPS_SHOWN

    looked = look(desk.dead, each, clock=desk.clock)
    for letter in found:
        screens.show(letter, desk.console, now_ms=desk.now_ms(), reveal=reveal)
    if not found:
        desk.console.print(
            Text(f"There is no letter {safe(letter_id)}: spillway dlq list shows which there are, by their ids.")
        )
        screens.show_notes(looked, desk.console, is_fifo=desk.dead.is_fifo)
    return 0 if found else 1


def export(desk: Desk, chosen: Filter, path: Path) -> int:
    """Write the letters into a file, and leave them where they are; returns 0."""
    written = Archive.at(path)
    try:
        looked = look(desk.dead, lambda one: written.write(one) if chosen.matches(one) else None, clock=desk.clock)
    finally:
        written.close()
    desk.console.print(Text(safe(f"{written.letters:,} letters are in {path}, and in the queue as before.")))
    desk.console.print(Text("It holds people's data and customers' keys: delete it when it is not needed.", style=DIM))
    screens.show_notes(looked, desk.console, is_fifo=desk.dead.is_fifo)
    return 0


@dataclass(frozen=True, slots=True)
class Order:
    """What a redrive is asked for."""

    chosen: Filter
    is_yes: bool = False
    sendable_only: bool = False
    per_s: float | None = None
    most: int | None = None
    export: Path | None = None
    why: str = ""


def redrive(desk: Desk, order: Order) -> int:
    """Plan, and with `is_yes` send; returns 0, and 1 where letters are left that should have moved."""
    trail.checked_why(order.why)
    deployed, foresees = forecaster(desk.stack, desk.named)
    path = order.export or desk.exports / f"{safe(desk.stack.stage)}-{_stamp(desk)}.ndjson.gz"
    written = Archive.at(path) if order.is_yes else Archive.passing()
    notebook = Notebook()
    try:
        chosen = order.chosen
        looked = look(desk.dead, lambda one: written.write(one) if chosen.matches(one) else None, clock=desk.clock)
        with progress_bar.shown(desk.console, written.letters, "letters tried", clock=desk.clock) as line:
            plan, planned = _planned(
                written, foresees, notebook, lambda done: line(done, ""), sendable_only=order.sendable_only
            )
        if not plan.letters:
            _nothing(desk, looked, chosen)
            screens.show_notes(looked, desk.console, is_fifo=desk.dead.is_fifo)
            return 0
        screens.show_plan(plan, deployed, commit(ROOT), desk.console, said=chosen.said())
        if foresees.is_blind:
            _say(desk, "The state table does not answer: what is suspended or half delivered is not known.", WARN)
        _say_what_holds(desk)
        screens.show_notes(looked, desk.console, is_fifo=desk.dead.is_fifo)
        limits = deployed.partner.limits if deployed.partner else Limits()
        allowance = _allowance(desk, limits, plan, order.per_s)
        most = planned if order.most is None else min(order.most, planned)
        _say_pace(desk, allowance, most)
        if not order.is_yes:
            _say(desk, _offer(plan, planned, most))
            return 0
        if not planned:
            _say(desk, "Nothing was sent: all of them would come back.")
            return 1
        if allowance.per_s <= 0:
            raise LettersUnavailable(
                "nothing is left over for letters beside live traffic: wait, or give --rate to send all the same"
            )
        _say(desk, f"Exported to {safe(path)}: delete it when it is not needed.", DIM)
        newest_ms = plan.newest_ms
        with trail.act(desk.stack, f"dlq redrive ({chosen.said()}), {most:,} letters", why=order.why) as noted:
            moved = _send(
                desk, notebook, written, order, allowance, most, lambda one: _is_meant(one, order, newest_ms, foresees)
            )
            noted.result = _result(moved)
        _say(desk, noted.result, GOOD if not moved.left else WARN)
        if moved.left:
            _say(
                desk,
                f"{moved.left:,} are left: the same command goes on. What is out of sight is back in {HIDDEN_S} s.",
            )
        return 0 if not (moved.left or moved.refused) else 1
    finally:
        written.close()
        notebook.close()
        if order.is_yes and not written.letters:
            path.unlink(missing_ok=True)


def purge(desk: Desk, chosen: Filter, *, is_yes: bool, ask: Callable[[str], str], why: str) -> int:
    """Delete letters for good, after their number was typed; returns 0, and 1 if nothing was deleted."""
    trail.checked_why(why)
    notebook, groups = Notebook(), Groups(now_ms=desk.now_ms())

    def each(letter: Letter) -> None:
        if chosen.matches(letter):
            notebook.plan(letter.id, "deleted")
            groups.add(letter)

    try:
        looked = look(desk.dead, each, clock=desk.clock)
        if not groups.count:
            _nothing(desk, looked, chosen)
            return 0
        screens.summary(groups, groups.by, desk.console, now_ms=desk.now_ms())
        screens.show_notes(looked, desk.console, is_fifo=desk.dead.is_fifo)
        _say(desk, f"{groups.count:,} letters would be deleted ({chosen.said()}); nobody gets them back.", WARN)
        if not is_yes:
            _say(desk, "Nothing was deleted: spillway dlq export keeps them, --yes asks once more and deletes.")
            return 0
        words = f"purge {groups.count}"
        if ask(f"Type {words!r} to delete them") != words:
            _say(desk, "Nothing was deleted: that was something else.")
            return 1
        with trail.act(desk.stack, f"dlq purge ({chosen.said()}), {groups.count:,} letters", why=why) as noted:
            deleted = _delete(desk, notebook, groups.count)
            noted.result = f"{deleted:,} of {groups.count:,} deleted"
        _say(desk, noted.result + ".")
        return 0 if deleted == groups.count else 1
    finally:
        notebook.close()


def import_(desk: Desk, path: Path, to: str, *, is_yes: bool, per_s: float | None, why: str) -> int:
    """Put the letters of a file back; returns 0 if all of them are there."""
    trail.checked_why(why)
    target = desk.main if to == "queue" else desk.dead
    bad, whole = imports.counted(path)
    for one in bad:
        _say(desk, f"line {one.number}: {one.why}", WARN)
    name = "the main queue" if to == "queue" else "the dead-letter queue"
    if not is_yes:
        _say(desk, f"{whole:,} letters would go into {name}, without those that are there: --yes sends them.")
        return 0
    pacer = Pacer(per_s or imports.PER_S, clock=desk.clock, sleep=desk.sleep)
    with trail.act(desk.stack, f"dlq import into {name}, {whole:,} letters", why=why) as noted:
        with stopping() as is_stopping, progress_bar.shown(desk.console, whole, "letters sent") as on_progress:
            job = imports.Import(path, target, pacer, desk.now_ms, is_stopping, lambda done: on_progress(done, ""))
            done = job.into_queue() if to == "queue" else job.into_dead_letters(desk.clock)
        noted.result = f"{done.sent:,} sent, {done.there:,} there already, {done.refused:,} refused by SQS"
    _say(desk, noted.result + ".")
    left = whole - done.sent - done.there
    if left:
        _say(desk, f"{left:,} were not sent: the same command goes on.", WARN)
    return 0 if not (left or bad) else 1


def _planned(
    written: Archive,
    foresees: Forecaster,
    notebook: Notebook,
    on_progress: Callable[[int], None],
    *,
    sendable_only: bool,
) -> tuple[Plan, int]:
    """The plan of what was exported, and how many letters of it are to be sent: they are noted."""
    plan, planned, waiting = Plan(), 0, list[Letter]()

    def tell() -> int:
        meant = 0
        for letter, forecast in zip(waiting, foresees.of(waiting), strict=True):
            plan.add(letter, forecast)
            if not (sendable_only and forecast.verdict in COMES_BACK):
                notebook.plan(letter.id, forecast.verdict)
                meant += 1
        waiting.clear()
        return meant

    for letter in written.read():
        waiting.append(letter)
        if len(waiting) == PLANNED_AT_ONCE:
            planned += tell()
            on_progress(plan.letters)
    if waiting:
        planned += tell()
    return plan, planned


def _is_meant(letter: Letter, order: Order, newest_ms: int, foresees: Forecaster) -> bool:
    """Whether a letter of a FIFO queue that was behind others is sent: as old as those of the plan, and like them."""
    if letter.sent_ms > newest_ms or not order.chosen.matches(letter):
        return False
    return not order.sendable_only or foresees.of([letter])[0].verdict not in COMES_BACK


def _send(  # noqa: PLR0917 - all of one order
    desk: Desk,
    notebook: Notebook,
    written: Archive,
    order: Order,
    allowance: Allowance,
    most: int,
    is_meant: Callable[[Letter], bool],
) -> Moved:
    main = desk.main
    waiting = max(WAITING, pace.WAITING_S * allowance.per_s)
    with stopping() as is_stopping, progress_bar.shown(desk.console, most, "letters sent", clock=desk.clock) as line:
        return Redrive(
            dead=desk.dead,
            main=main,
            notebook=notebook,
            pacer=Pacer(allowance.per_s, clock=desk.clock, sleep=desk.sleep),
            now_ms=desk.now_ms,
            is_meant=is_meant,
            archive=written,
            is_stopping=is_stopping,
            is_busy=lambda: order.per_s is None and main.counts().visible > waiting,
            on_progress=lambda moved: line(moved.sent, moved.held_up),
            hidden_s=HIDDEN_S,
        ).run(most, most=order.most or (MOST_LETTERS if main.is_fifo else most))


def _delete(desk: Desk, notebook: Notebook, count: int) -> int:
    dead, deleted, empty = desk.dead, 0, 0
    try:
        while deleted < count and empty < 3:
            found = dead.receive(HIDDEN_S)
            empty = 0 if found else empty + 1
            chosen = [one for one in found if notebook.verdict(one.id)]
            gone = dead.delete(chosen)
            deleted += len(gone)
            for one in found:
                if one.id not in gone:
                    notebook.hold(one.id, one.handle)
    finally:
        for handles in notebook.let_go():
            dead.give_back(handles)
    return deleted


def _allowance(desk: Desk, limits: Limits, plan: Plan, per_s: float | None) -> Allowance:
    if per_s is not None:
        return Allowance(per_s, "as --rate says, whatever live traffic needs")
    cloudwatch = desk.stack.client("cloudwatch")
    return pace.left_over(
        limits,
        learnt=asyncio.run(pace.learnt_limit(desk.state)),
        live_per_s=pace.live_per_s(cloudwatch, desk.main.url, now_s=desk.now_ms() / 1_000),
        calls_per_letter=plan.calls_per_letter,
        accounts=len(plan.accounts),
    )


def _say_pace(desk: Desk, allowance: Allowance, most: int) -> None:
    if allowance.per_s <= 0:
        _say(desk, f"Rate: nothing is left over ({allowance.why}).", WARN)
        return
    takes_s = most / allowance.per_s
    takes = f"{takes_s:,.0f} s" if takes_s < 180 else f"{takes_s / 60:,.0f} min"
    _say(desk, f"Rate: {allowance.per_s:,.3g} letters/s, {takes} in all ({allowance.why}).", DIM)


def _offer(plan: Plan, planned: int, most: int) -> str:
    if not planned:
        return "Nothing was sent: all of them would come back. Mend the cause first."
    what = "all of them" if most == plan.letters else f"{most:,} of them"
    rest = "; --sendable leaves those that would come back" if plan.coming_back and planned == plan.letters else ""
    return f"Nothing was sent: the same command with --yes exports them and sends {what}{rest}."


def _say_what_holds(desk: Desk) -> None:
    try:
        held = pause.current(desk.stack)
    except StateUnavailable:
        return
    if held is not None:
        _say(desk, f"The intake is {held.said(desk.now_ms())}: what is sent waits in the queue.", WARN)


def _result(moved: Moved) -> str:
    parts = [f"{moved.sent:,} of {max(moved.sent, moved.planned):,} sent"]
    if moved.refused:
        parts.append(f"{moved.refused:,} refused by SQS as they are, and left")
    if moved.gave_way:
        parts.append("live traffic left nothing for ten minutes")
    if moved.is_stopped:
        parts.append("stopped by hand")
    return ", ".join(parts)


def _nothing(desk: Desk, looked: Looked, chosen: Filter) -> None:
    if not looked.letters and looked.hidden:
        return  # the notes say where they are
    screens.nothing(desk.console, matched=bool(looked.letters), said=chosen.said())


def _say(desk: Desk, text: str, style: str = "none") -> None:
    desk.console.print(Text(text, style=style))


def _stamp(desk: Desk) -> str:
    return f"{datetime.fromtimestamp(desk.now_ms() / 1_000, UTC):%Y%m%dT%H%M%S%fZ}"


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C, or whoever ends processes, asked to stop: what is under way is ended first. A second Ctrl-C does
    not wait.
    """
    asked: list[int] = []
    names = (signal.SIGINT, signal.SIGTERM)

    def ask(number: int, _: object) -> None:
        asked.append(number)
        signal.signal(number, before[number])

    before: dict[int, Any] = {name: signal.signal(name, ask) for name in names}
    try:
        yield lambda: bool(asked)
    finally:
        for name in names:
            signal.signal(name, before[name])
