"""`spillway suspensions`: the accounts whose credentials the partner refuses, and the operator's clear.

An account can have several credentials: the list shows how many are refused, and nothing of them.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.console.moments import ago, ahead, as_utc
from ops.console.terminal import safe
from ops.operate import worker_tick
from ops.operate.depth import depth
from ops.operate.stack import Stack, refusal_as
from shared.errors import SpillwayError
from shared.state import SUSPENDED
from worker_fn.accounts.clearing import clear_account
from worker_fn.accounts.suspension import NOBODY, Suspension, by_account
from worker_fn.accounts.suspensions import KNOWN_FOR_MS

LOOK_AGAIN_S = 15.0
"""The pause between two ticks of a clear that waits."""


NOTICED_S = KNOWN_FOR_MS / 1_000 + 1
"""By then every worker knows of a clear: before, it would park messages that come back."""


class NotSuspended(SpillwayError):
    """An account that was named is not suspended; nothing was cleared."""


@dataclass(frozen=True, slots=True)
class Suspended:
    """The suspensions of an account."""

    account_id: str
    status: int
    """The status of the last refusal, of any of its credentials."""
    since_ms: int
    probe_at_ms: int | None
    """When a probe is tried next; None while the worker chooses another message for it."""
    credentials: int = 1
    """How many of the account's credentials are refused."""
    gives_up_at_ms: int | None = None
    """When the messages with the last refused credentials are dead-lettered as `unauthorized`, if the partner takes
    newer ones of the account. None while some of them may be the customer's present ones.
    """


@dataclass(frozen=True, slots=True)
class Listing:
    suspensions: Sequence[Suspended]
    parked_about: int
    """Messages in the parking queue, of all accounts, by SQS's rough count."""


@dataclass(frozen=True, slots=True)
class Cleared:
    accounts: Sequence[str]
    moved: int = 0
    is_done: bool = False
    """Nothing is left to move, as far as could be seen."""
    refused_again: Sequence[Suspended] = ()
    """The cleared accounts whose messages were tried meanwhile and refused: messages with these credentials are parked.
    """


def listing(stack: Stack) -> Listing:
    """Return the suspended accounts, the longest first. Raises StackUnavailable, StateUnavailable."""
    return Listing(_suspended(stack), _parked_about(stack))


def _suspended(stack: Stack) -> list[Suspended]:
    found = by_account(asyncio.run(stack.state().listed(SUSPENDED)))
    return sorted(map(summed_up, found.values()), key=lambda one: (one.since_ms, one.account_id))


def summed_up(suspensions: Sequence[Suspension]) -> Suspended:
    """The line that sums up an account's suspensions."""
    last = max(suspensions, key=lambda one: one.since_ms)
    probes_ms = [one.probe_at_ms for one in suspensions if one.probe_id != NOBODY]
    moments_ms = [one.gives_up_ms for one in suspensions]
    return Suspended(
        account_id=last.account_id,
        status=last.status,
        since_ms=min(one.since_ms for one in suspensions),
        probe_at_ms=min(probes_ms, default=None),
        credentials=len(suspensions),
        gives_up_at_ms=None if None in moments_ms else max(one for one in moments_ms if one is not None),
    )


def clear_accounts(stack: Stack, accounts: Sequence[str]) -> Cleared:
    """Forget that these accounts, all if none is named, are suspended. Raises NotSuspended before any is cleared."""
    state = stack.state()
    suspended = by_account(asyncio.run(state.listed(SUSPENDED)))
    chosen = list(dict.fromkeys(accounts)) or sorted(suspended)
    unknown = [account_id for account_id in chosen if account_id not in suspended]
    if unknown:
        raise NotSuspended(
            f"not suspended: {', '.join(unknown)}; nothing was cleared, `spillway suspensions` lists who is"
        )
    now_ms, rng = int(time.time() * 1_000), random.Random()  # noqa: S311 - jitter, not a secret
    for account_id in chosen:
        asyncio.run(clear_account(state, account_id, now_ms=now_ms, accepted=False, rng=rng))
    return Cleared(chosen, is_done=not chosen)


def move_back(
    stack: Stack,
    cleared: Cleared,
    *,
    wait: bool,
    on_progress: Callable[[int], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Cleared:
    """Have the worker move the parked messages now, once or, with `wait`, until nothing is left to move.

    Says which accounts' messages were refused again meanwhile: these are parked as before, and no tick moves them.
    Raises StackUnavailable when the worker cannot be invoked: its own tick does it within a minute.
    """
    moved, told, is_done = 0, -1, cleared.is_done
    if not is_done:
        sleep(NOTICED_S)
    while not is_done:
        report = worker_tick.run(stack)
        moved += int(report["unparked"])
        is_done = bool(report["swept"])
        if moved != told:
            on_progress(moved)
            told = moved
        if not wait:
            break
        if not is_done:
            sleep(LOOK_AGAIN_S)
    again = [one for one in _suspended(stack) if one.account_id in cleared.accounts]
    return Cleared(cleared.accounts, moved, is_done, again)


def as_json(document: Listing | Cleared) -> str:
    """Return the document that `--json` prints, indented."""
    return json.dumps(asdict(document), indent=2)


def show(listing: Listing, console: Console, *, now_ms: int) -> None:
    """Print the suspended accounts."""
    if not listing.suspensions:
        console.print("No account is suspended.")
    else:
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("account", "refused", "keys", "since (UTC)", "", "probe"):
            table.add_column(name, no_wrap=True)
        for one in listing.suspensions:
            probe = "to be chosen" if one.probe_at_ms is None else ahead(one.probe_at_ms, now_ms)
            table.add_row(
                Text(safe(one.account_id)),
                Text(safe(f"HTTP {one.status}")),
                str(one.credentials),
                as_utc(one.since_ms),
                ago(one.since_ms, now_ms),
                probe,
            )
        console.print(table)
        for one in listing.suspensions:
            if one.gives_up_at_ms is not None:
                console.print(Text(safe(old_keys(one, now_ms))), soft_wrap=True)
    console.print(f"About {listing.parked_about:,} messages are parked, of all accounts.", highlight=False)


def old_keys(one: Suspended, now_ms: int) -> str:
    """What becomes of the messages of an account that has newer credentials."""
    when = "now" if one.gives_up_at_ms is None or one.gives_up_at_ms <= now_ms else ahead(one.gives_up_at_ms, now_ms)
    end = f"What carries the old ones is dead-lettered as unauthorized, {when}."
    return f"{one.account_id}: newer credentials are taken. {end}"


def _parked_about(stack: Stack) -> int:
    with refusal_as("SQS does not say how much is parked ({})"):
        return depth(stack.client("sqs"), stack.output("ParkingQueueUrl")).all
