"""`spillway promote` and `spillway rollback`: both functions together, in two calls, prepared before the first."""

from collections.abc import Callable
from datetime import UTC, datetime

from ops.releases.functions import DeployedFunctions, Functions
from ops.releases.note import Note
from ops.releases.pair import Pair, read_pair
from ops.releases.rules import refusal, worker_first
from shared.errors import SpillwayError


class NotPromoted(SpillwayError):
    """A pair that must not go live; the text says why, and what may."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def promote(deployed: DeployedFunctions, to: str | None, *, clock: Callable[[], datetime] = utc_now) -> list[str]:
    """Make the newest versions live, or those that `to` names; returns a line for each function.

    Raises NotPromoted, UnknownVersion, AliasNotMoved; then nothing has changed.
    """
    functions = deployed.read()
    note, target = functions.note, read_pair(to) if to else functions.newest
    if to is None and target in {entry.pair for entry in note.back} and target != functions.live:
        raise NotPromoted(
            f"the newest version, {target}, was rolled back: deploy a mended one, or spillway promote --to {target}"
        )
    now = clock()
    return _move(deployed, functions, target, note.promoted(target, now), now)


def rollback(deployed: DeployedFunctions, *, clock: Callable[[], datetime] = utc_now) -> list[str]:
    """Make the pair live that was live before; returns a line for each function. Raises as `promote` does."""
    functions = deployed.read()
    note = functions.note
    if note.previous is None:
        raise NotPromoted(
            f"what was live before {functions.live} is not noted on the aliases: spillway versions shows what there is,"
            " spillway promote --to takes one of them"
        )
    now = clock()
    return _move(deployed, functions, note.previous.pair, note.rolled_back(now), now)


def _move(deployed: DeployedFunctions, functions: Functions, target: Pair, note: Note, now: datetime) -> list[str]:
    functions.require(target)
    live, messages = functions.live, functions.messages
    if target == live:
        return [f"{target} is live already"]
    why_not = refusal(messages, live, target, functions.note.writers(now))
    if why_not:
        raise NotPromoted(why_not)
    deployed.move(functions, target, note, worker_first=worker_first(messages, live, target))
    moves = ((functions.ingest, live.ingest, target.ingest), (functions.worker, live.worker, target.worker))
    was, is_now = (functions.worker.versions[pair.worker].destination for pair in (live, target))
    return [
        *(
            f"{one.alias.function} {one.alias.name}: {_step(before, now_live)}  commit {one.versions[now_live].commit}"
            for one, before, now_live in moves
        ),
        *([f"delivers to {is_now}; it was {was}"] if was != is_now else []),
    ]


def _step(before: int, now_live: int) -> str:
    """The move of one of the two functions in words, or that it had nowhere to go."""
    return f"stays {now_live}" if before == now_live else f"{before} -> {now_live}"
