"""`spillway dsr`: receipts of erasure requests, read from a stage's state table."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.certify.mark import CERTIFY_MARK
from ops.console.moments import as_utc, moment_of
from ops.console.screen import BAD, DIM, GOOD, WARN, Screen
from ops.console.terminal import safe, safe_json
from ops.operate.stack import find_stack
from shared.receipts import RECEIPT_PREFIX, Receipt, Standing, receipt_key

_STYLE = {
    Standing.DELIVERED: GOOD,
    Standing.OPEN: WARN,
    Standing.NOT_FORWARDED: BAD,
    Standing.DEAD_LETTERED: BAD,
}

ID_WIDTH = 36
"""The width of a GUID, which is whole on 80 columns, because `spillway dsr status` asks for it."""

ACCOUNT_WIDTH = 9
OTHERS_WIDTH = 35
"""The width of the time, the longest standing, and the gaps between four columns: with the two above, 80 in all."""

REASONS_FROM_WIDTH, REASON_WIDTH = 100, 40
"""From this width on the list has room for the reason of a dead letter, and the width of that."""


def status(subject_request_id: str, stage: str, *, as_json: bool, console: Console | None = None) -> int:
    """Print what became of one request; returns 0 if all of it was delivered. Raises StackUnavailable,
    StateUnavailable.
    """
    console = console or Screen()
    key = receipt_key(subject_request_id)
    found = asyncio.run(find_stack(stage).state().listed(key))
    receipts = _in_order([Receipt.from_value(key, sk, item.value) for sk, item in found.items()])
    if as_json:
        _print_json({"subject_request_id": subject_request_id, "receipts": _plain(receipts)}, console)
    elif receipts:
        _print_lines(receipts, console)
    else:
        console.print(
            Text(
                f"No receipt of {safe(subject_request_id)} in stage {safe(stage)}: no erasure with this id was accepted"
                " there in the last 400 days. Receipts are kept of erasures alone, under mParticle's id of the"
                " subject's request."
            )
        )
    return 0 if receipts and all(one.standing is Standing.DELIVERED for one in receipts) else 1


def list_all(
    stage: str, *, only_open: bool, as_json: bool, certify: bool = False, console: Console | None = None
) -> None:
    """Print all receipts, a line each, or those of requests that are not delivered; those that `spillway certify` made
    up are counted, and printed with `certify`. Raises StackUnavailable, StateUnavailable.
    """
    console = console or Screen()
    found = asyncio.run(find_stack(stage).state().under(RECEIPT_PREFIX))
    receipts = _in_order([Receipt.from_value(pk, sk, item.value) for (pk, sk), item in found.items()])
    if only_open:
        receipts = [one for one in receipts if one.standing is not Standing.DELIVERED]
    made_up = [one for one in receipts if is_made_up(one)]
    if not certify:
        receipts = [one for one in receipts if not is_made_up(one)]
    if as_json:
        _print_json({"receipts": _plain(receipts), "made_up_by_certify": len(made_up)}, console)
        return
    if receipts:
        show(receipts, console)
    else:
        console.print("Every erasure was delivered." if only_open else "No erasure was accepted in the last 400 days.")
    if made_up and not certify:
        console.print(f"{len(made_up)} of spillway certify are left out: --certify shows them.", style=DIM)


def is_made_up(receipt: Receipt) -> bool:
    """Whether `spillway certify` made this erasure up: it is about no person."""
    return receipt.subject_request_id.startswith(CERTIFY_MARK)


def _in_order(receipts: Sequence[Receipt]) -> list[Receipt]:
    return sorted(receipts, key=lambda one: (one.accepted_ms, one.subject_request_id, one.request_id))


def _plain(receipts: Sequence[Receipt]) -> list[dict[str, object]]:
    return [{**asdict(one), "standing": str(one.standing)} for one in receipts]


def _print_json(document: dict[str, object], console: Console) -> None:
    console.print(Text(safe_json(json.dumps(document, indent=2))), soft_wrap=True)


def show(receipts: Sequence[Receipt], console: Console) -> None:
    """Print a line for each receipt; if there is no room, ids longer than mParticle's are cut."""
    table = Table(box=None, header_style=DIM, pad_edge=False, padding=(0, 2, 0, 0))
    id_width = max(ID_WIDTH, console.width - OTHERS_WIDTH - ACCOUNT_WIDTH)
    table.add_column("subject's request", no_wrap=True, max_width=id_width)
    table.add_column("accepted (UTC)", no_wrap=True)
    table.add_column("standing", no_wrap=True, max_width=REASON_WIDTH)
    table.add_column("account")
    for one in receipts:
        account = Text(safe(one.account_id or "none"), no_wrap=True, overflow="ellipsis")
        standing = Text(str(one.standing), style=_STYLE[one.standing])
        if one.standing is Standing.DEAD_LETTERED and console.width >= REASONS_FROM_WIDTH:
            standing.append(f" as {safe(one.reason)}")
        table.add_row(Text(safe(one.subject_request_id)), as_utc(one.accepted_ms), standing, account)
    console.print(table)
    if any(cell_len(safe(one.subject_request_id)) > id_width for one in receipts):
        console.print("An id that ends in … is longer: --json has all of it.", style=DIM)


def _print_lines(receipts: Sequence[Receipt], console: Console) -> None:
    for one in receipts:
        standing = Text(str(one.standing), style=_STYLE[one.standing])
        console.print(
            Text.assemble(
                safe(one.subject_request_id),
                "  ",
                standing,
                safe(f"  account {one.account_id or 'none'}: {_story(one)}"),
            )
        )


def _story(one: Receipt) -> str:
    times = (
        (one.accepted_ms, "accepted"),
        (one.dead_lettered_ms, f"dead-lettered as {one.reason}"),
        (one.no_call_ms, "done without a call, as the partner makes none of it"),
        (one.redriven_ms, "redriven"),
        (one.delivered_ms, "delivered"),
    )
    return ", ".join(f"{what} {_time(time_ms)}" for time_ms, what in sorted((t, w) for t, w in times if t is not None))


def _time(time_ms: int) -> str:
    moment = moment_of(time_ms)
    return "at no time that there is" if moment is None else f"{moment:%Y-%m-%d %H:%M:%SZ}"
