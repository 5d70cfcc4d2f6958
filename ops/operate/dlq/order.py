"""`spillway dlq redrive`: plan the chosen letters, export them, send them at a rate, and write the result down."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from infra.build import commit
from infra.stage import ROOT
from ops.console.interrupts import stopping
from ops.console.moments import ahead
from ops.console.screen import DIM, GOOD, WARN
from ops.console.terminal import safe
from ops.operate import pause, trail
from ops.operate.dlq import pace, progress_bar, screens
from ops.operate.dlq.archive import Archive
from ops.operate.dlq.desk import Desk
from ops.operate.dlq.filters import Filter
from ops.operate.dlq.forecast import COMES_BACK, PLANNED_AT_ONCE, Forecaster, forecaster
from ops.operate.dlq.letters import Letter, counted
from ops.operate.dlq.look import HIDDEN_S, MOST_LETTERS, look
from ops.operate.dlq.notebook import Notebook
from ops.operate.dlq.pace import Allowance, Pacer
from ops.operate.dlq.plan import Plan
from ops.operate.dlq.queues import LettersUnavailable
from ops.operate.dlq.redrive import Moved, Redrive
from partners import Limits
from shared.errors import StateUnavailable
from shared.state import FLOW, PARTNER
from worker_fn.limits.breaker import Opened, why_open
from worker_fn.limits.flow import Flow

WAITING = 100
"""This many messages may wait in the queue, however low the rate is."""


@dataclass(frozen=True, slots=True)
class Order:
    """The options of a redrive."""

    chosen: Filter
    is_yes: bool = False
    sendable_only: bool = False
    per_s: float | None = None
    most: int | None = None
    export: Path | None = None
    why: str = ""


def redrive(desk: Desk, order: Order) -> int:
    """Plan, and with `is_yes` send; returns 0, or 1 if letters are left that should have moved."""
    trail.checked_why(order.why)
    deployed, foresees = forecaster(desk.stack, desk.named)
    path = order.export or desk.exports / f"{safe(desk.stack.stage)}-{_stamp(desk)}.ndjson.gz"
    written = Archive.at(path) if order.is_yes else Archive.passing()
    notebook, is_kept = Notebook(), False
    try:
        chosen = order.chosen
        looked = look(desk.dead, lambda one: written.write(one) if chosen.matches(one) else None, clock=desk.clock)
        with progress_bar.shown(desk.console, written.letters, "letters tried", clock=desk.clock) as line:
            plan, planned = _planned(
                written, foresees, notebook, lambda done: line(done, ""), sendable_only=order.sendable_only
            )
        if not plan.letters:
            screens.nothing(looked, desk.console, said=chosen.said())
            desk.say_notes(looked)
            return 0
        screens.show_plan(plan, deployed, commit(ROOT), desk.console, said=chosen.said())
        if foresees.is_blind:
            desk.say("The state table does not answer: what is suspended or half delivered is not known.", WARN)
        _say_what_holds(desk)
        desk.say_notes(looked)
        limits = deployed.partner.limits if deployed.partner else Limits()
        allowance = _allowance(desk, limits, plan, order.per_s)
        most = planned if order.most is None else min(order.most, planned)
        _say_pace(desk, allowance, most)
        if not order.is_yes:
            desk.say(_offer(plan, planned, most))
            return 0
        if not planned:
            desk.say("Nothing was sent: all of them would come back.")
            return 1
        if allowance.per_s <= 0:
            raise LettersUnavailable(
                "no calls are left over for letters beside live traffic: wait, or give --rate to send all the same"
            )
        is_kept = True
        desk.say(f"Exported to {safe(path)}: delete it when it is not needed.", DIM)
        newest_ms = plan.newest_ms
        with trail.act(desk.stack, f"dlq redrive ({chosen.said()}), {counted(most)}", why=order.why) as noted:
            moved = _send(
                desk, notebook, written, order, allowance, most, lambda one: _is_meant(one, order, newest_ms, foresees)
            )
            noted.result = _result(moved)
        desk.say(noted.result, GOOD if not moved.left else WARN)
        if moved.left:
            hidden = "" if moved.is_stopped else f" Letters that are hidden are back in {HIDDEN_S} s."
            again = "the same command goes on" + (", with another --export" if order.export else "")
            desk.say(f"{_are_left(moved.left)}: {again}.{hidden}")
        return 0 if not (moved.left or moved.refused) else 1
    finally:
        written.close()
        notebook.close()
        if order.is_yes and not is_kept:  # it holds people's data, and nothing was sent
            path.unlink(missing_ok=True)


def _planned(
    written: Archive,
    foresees: Forecaster,
    notebook: Notebook,
    on_progress: Callable[[int], None],
    *,
    sendable_only: bool,
) -> tuple[Plan, int]:
    """The plan of the exported letters, and how many of them are to be sent: those are noted."""
    plan, planned, waiting = Plan(), 0, list[Letter]()

    def tell() -> int:
        meant = 0
        for letter, forecast in zip(waiting, foresees.of(waiting), strict=True):
            plan.add(letter, forecast)
            if not (sendable_only and forecast.fate in COMES_BACK):
                notebook.plan(letter.id, forecast.fate)
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
    """Whether to send a letter of a FIFO queue that was behind others: as old as those of the plan, and like them."""
    if letter.sent_ms > newest_ms or not order.chosen.matches(letter):
        return False
    return not order.sendable_only or foresees.of([letter])[0].fate not in COMES_BACK


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
            is_busy=lambda: order.per_s is None and main.depth().visible > waiting,
            on_progress=lambda moved: line(moved.sent, moved.held_up),
            hidden_s=HIDDEN_S,
        ).run(most, most=order.most or (MOST_LETTERS if main.is_fifo else most))


def _allowance(desk: Desk, limits: Limits, plan: Plan, per_s: float | None) -> Allowance:
    if per_s is not None:
        return Allowance(per_s, "as --rate says, whatever live traffic needs")
    cloudwatch = desk.stack.client("cloudwatch")
    return pace.left_over(
        limits,
        learnt=asyncio.run(pace.learnt_limit(desk.stack.state())),
        live_per_s=pace.live_per_s(cloudwatch, desk.main.url, now_s=desk.now_ms() / 1_000),
        calls_per_letter=plan.calls_per_letter,
        accounts=len(plan.accounts),
    )


def _say_pace(desk: Desk, allowance: Allowance, most: int) -> None:
    if allowance.per_s <= 0:
        desk.say(f"Rate: no calls are left over ({allowance.why}).", WARN)
        return
    takes_s = math.ceil(most / allowance.per_s)
    takes = f"{takes_s:,.0f} s" if takes_s < 180 else f"{takes_s / 60:,.0f} min"
    desk.say(f"Rate: {allowance.per_s:,.3g} letters/s, {takes} in all ({allowance.why}).", DIM)


def _offer(plan: Plan, planned: int, most: int) -> str:
    if not planned:
        return "Nothing was sent: all of them would come back. Mend the cause first."
    what = "all of them" if most == plan.letters else f"{most:,} of them"
    rest = "; --sendable leaves those that would come back" if plan.coming_back and planned == plan.letters else ""
    return f"Nothing was sent: the same command with --yes exports them and sends {what}{rest}."


def _say_what_holds(desk: Desk) -> None:
    """Say why letters that are sent would wait."""
    now_ms = desk.now_ms()
    try:
        held = pause.current(desk.stack)
        flow = Flow.of(asyncio.run(desk.stack.state().read(PARTNER, FLOW)))
    except StateUnavailable:
        return
    if held is not None:
        desk.say(f"The intake is {held.said(now_ms)}: letters that are sent wait in the queue.", WARN)
    opened = why_open(flow.breaker, now_ms=now_ms)
    if opened is Opened.BY_HAND:
        desk.say("An operator opened the breaker: letters that are sent wait in the queue.", WARN)
    elif opened is Opened.OVER:
        desk.say("The breaker that an operator opened is over its time: one message is tried first.", WARN)
    elif opened is Opened.DOWN:
        said = f", its last answer was {flow.breaker.said}" if flow.breaker.said else ""
        desk.say(safe(f"The partner is down{said}: letters that are sent wait in the queue. Better wait."), WARN)
    elif flow.cool_until_ms > now_ms:
        desk.say(f"The partner asked for a pause: calls go on {ahead(flow.cool_until_ms, now_ms)}.", WARN)


def _are_left(count: int) -> str:
    return "1 is left" if count == 1 else f"{count:,} are left"


def _result(moved: Moved) -> str:
    parts = [f"{moved.sent:,} of {max(moved.sent, moved.planned):,} sent"]
    if moved.refused:
        parts.append(f"{moved.refused:,} refused by SQS as they are, and left")
    if moved.gave_way:
        parts.append("live traffic left nothing for ten minutes")
    if moved.is_stopped:
        parts.append("stopped by hand")
    return ", ".join(parts)


def _stamp(desk: Desk) -> str:
    return f"{datetime.fromtimestamp(desk.now_ms() / 1_000, UTC):%Y%m%dT%H%M%S%fZ}"
