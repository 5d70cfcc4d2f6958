"""`spillway ledger`: what became of everything accepted in a range of time, counted from what the functions wrote.

Requests that were accepted in the range are followed to their ends, also those that come after it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.console.moments import as_utc
from ops.console.screen import BAD, DIM, GOOD
from ops.console.terminal import safe
from ops.operate import facts
from ops.operate.depth import depth
from ops.operate.facts import Logs, Reading
from ops.operate.stack import Stack, refusal_as
from shared.errors import InvalidSettings
from shared.ledger import WHOLE, Depths, Ledger, Sums
from shared.telemetry import Fact

NAMED = 20
"""Messages of a gap that are printed; `--json` has all."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The sums of a range, of all or by account, and how far the logs were read."""

    since_ms: int
    until_ms: int
    sums: Sums
    by_account: Mapping[str, Sums]
    lines: int = 0
    bounded_by: str = ""


def count(
    logs: Logs, depths: Depths | None, *, since_ms: int, until_ms: int, account_id: str | None, by_account: bool
) -> Counted:
    """Count a range. Raises InvalidSettings for one that ends before it begins, StackUnavailable."""
    if until_ms <= since_ms:
        raise InvalidSettings("--until must be later than --since: 2h is earlier than 1h")
    ledger, reading = Ledger(), Reading()
    for told in facts.read(logs, since_ms=since_ms, reading=reading):
        if told.kind != Fact.ACCEPTED or told.at_ms < until_ms:
            ledger.add(told.kind, told.fields, told.at_ms)
    each = {one: ledger.sums(account_id=one) for one in ledger.accounts()} if by_account else {}
    sums = ledger.sums(None if reading.bounded_by else depths, account_id=account_id)
    return Counted(since_ms, until_ms, sums, each, reading.lines, reading.bounded_by)


def depths_of(stack: Stack) -> Depths:
    """How many messages there are, by SQS's rough count. Raises StackUnavailable."""
    client = stack.client("sqs")
    with refusal_as("SQS does not say how much is in a queue ({}): the same command may be given again"):
        return Depths(*(depth(client, stack.output(one)).all for one in ("QueueUrl", "ParkingQueueUrl")))


def as_json(counted: Counted) -> str:
    return json.dumps(asdict(counted), indent=2, ensure_ascii=False)


def line_of(sums: Sums) -> str:
    """The equation in one line."""
    gap = "not known" if sums.gap is None else f"{sums.gap:,}"
    return (
        f"accepted {sums.accepted:,} = delivered {sums.delivered:,} + left out {sums.left_out:,} + waiting"
        f" {sums.waiting:,} + parked {sums.parked:,} + dead-lettered {sums.all_dead:,} + gap {gap}"
    )


def show(counted: Counted, console: Console) -> None:
    """Print the ledger: a line an end, the gap with its messages."""
    sums = counted.sums
    console.print(Text(f"{as_utc(counted.since_ms)} to {as_utc(counted.until_ms)} UTC, in events", style=DIM))
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_row(Text("accepted", style="bold"), Text(f"{sums.accepted:,}", style="bold"))
    for name in ("delivered", "left out", "waiting", "parked"):
        table.add_row(f"  {name}", f"{getattr(sums, name.replace(' ', '_')):,}")
    table.add_row("  dead-lettered", f"{sums.all_dead:,}")
    for reason, events in sorted(sums.dead.items()):
        table.add_row(f"    {safe(reason)}", f"{events:,}")
    style = "" if sums.gap is None else BAD if sums.gap else GOOD
    table.add_row(Text("  gap", style=style), Text("not known" if sums.gap is None else f"{sums.gap:,}", style=style))
    console.print(table)
    for one in sums.gap_of[:NAMED]:
        part = "" if one.part == WHOLE else f" part {one.part}"
        since = f"{one.place} since {as_utc(one.since_ms)}"
        console.print(f"  request {safe(one.request_id)}{part}, account {safe(one.account_id)}, {since}")
    if len(sums.gap_of) > NAMED:
        console.print(f"  and {len(sums.gap_of) - NAMED:,} more: --json names them")
    if sums.gap_of:
        console.print("These have no end, and the queues hold fewer: `spillway trace` shows what is known of one.")
    if sums.more_copies:
        copies = "1 message" if sums.more_copies == 1 else f"{sums.more_copies:,} messages"
        console.print(f"{copies} more than accepted: mParticle was not answered, or SQS took one twice.")
    for account_id, of_account in counted.by_account.items():
        console.print(Text.assemble((f"account {safe(account_id)}: ", DIM), line_of(of_account)))
    if counted.bounded_by:
        console.print(f"Not everything was read: it stopped after {counted.bounded_by}. Count a shorter time.")
    if not counted.lines:
        console.print("The logs hold no facts of this time: LOG_EVENTS=off, or nothing came.")
    elif not sums.requests:
        console.print("Nothing was accepted in this time, or LOG_EVENTS=off: then the ledger cannot be counted.")
