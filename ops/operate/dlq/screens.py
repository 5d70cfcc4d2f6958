"""What `spillway dlq` prints: 80 columns, for light and dark terminals, of a letter only what was asked for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import simplejson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.console.moments import ago, as_utc
from ops.console.screen import BAD, DIM, GOOD, WARN
from ops.console.terminal import safe, safe_json
from ops.operate.dlq.forecast import COMES_BACK, Deployed, Fate
from ops.operate.dlq.groups import Group, Groups
from ops.operate.dlq.letters import KNOWN, NO_REASON, Letter
from ops.operate.dlq.look import Looked
from ops.operate.dlq.masks import MASK, masked
from ops.operate.dlq.plan import Plan
from shared.message import SHORT_TYPES

MOST_GROUPS_SHOWN = 20
BODY_SHOWN = 20_000
"""The most characters shown of a body that cannot be read, with --reveal."""


def show_notes(looked: Looked, console: Console, *, is_fifo: bool) -> None:
    """Say what a look may have missed."""
    for line in looked.said(is_fifo=is_fifo):
        console.print(Text(line, style=WARN))
    if looked.not_given_back:
        console.print(Text(f"{looked.not_given_back:,} letters are hidden, and come back by themselves.", style=DIM))


def nothing(looked: Looked, console: Console, *, said: str) -> None:
    """Say that there is no letter, or none that matches. The notes name hidden ones."""
    if not looked.letters and looked.hidden:
        return
    if looked.letters:
        console.print(Text(f"No letter matches ({said}): spillway dlq summary shows what lies there."))
    else:
        console.print(Text.assemble(("✓ ", GOOD), "The dead-letter queue is empty."))


def summary(groups: Groups, by: Sequence[str], console: Console, *, now_ms: int) -> None:
    """Print the groups, the largest first, each with a letter to look at."""
    one = groups.count == 1
    kinds = "" if one else ", all of one kind" if len(groups) == 1 else f" of {len(groups):,} kinds, the most first"
    console.print(Text(f"{groups.count:,} dead letter{'' if one else 's'}{kinds}:", style="bold"))
    shown = list(groups.largest_first())
    for group in shown[:MOST_GROUPS_SHOWN]:
        console.print(_group(group, by, now_ms))
    if len(shown) > MOST_GROUPS_SHOWN:
        left = sum(one.count for one in shown[MOST_GROUPS_SHOWN:])
        console.print(
            Text(
                f"{len(shown) - MOST_GROUPS_SHOWN:,} more kinds with {left:,} letters: fewer with --by reason.",
                style=DIM,
            )
        )
    if groups.leaving:
        console.print(
            Text(f"{groups.leaving:,} of them are deleted by SQS within a day: spillway dlq export.", style=BAD)
        )


def _group(group: Group, by: Sequence[str], now_ms: int) -> Text:
    told = dict(zip(by, group.key, strict=True))
    heads = []
    for name in by:
        value = told[name]
        if name == "error" or value in {"", "-"}:
            continue
        heads.append(
            {"account": f"account {value}", "status": f"HTTP {value}"}.get(name, SHORT_TYPES.get(value, value))
        )
    if told.get("reason") == NO_REASON:
        heads[0] = "no reason (SQS, after 1,000 receives)"
    oldest, newest = ago(group.oldest_ms, now_ms), ago(group.newest_ms, now_ms)
    age = newest if oldest == newest else f"{newest.removesuffix(' ago')} to {oldest}"
    text = Text.assemble((f"{group.count:>8,}  ", "bold"), safe(", ".join(heads) or "-"), (f"  {age}", DIM))
    if told.get("error"):
        text.append(f"\n          {safe(told['error'])}")
    return text.append(f"\n          e.g. {safe(group.sample)}", style=DIM)


ROW = "{:<36} {:<12} {:<5} {:<8} {:<10} {:>4}"
"""80 columns."""


def heading(console: Console) -> None:
    console.print(Text(ROW.format("letter", "reason", "HTTP", "type", "account", "age"), style=DIM))


def row(letter: Letter, console: Console, *, now_ms: int) -> None:
    """Print a letter in a line."""
    age = ago(letter.sent_ms, now_ms).removesuffix(" ago").replace(" ", "").replace("min", "m")
    account = letter.account_id if len(letter.account_id) <= 10 else letter.account_id[:9] + "…"
    kind = SHORT_TYPES.get(letter.type, letter.type)
    console.print(Text(safe(ROW.format(letter.id, letter.reason, letter.status, kind, account, age))))


def as_dict(letter: Letter) -> dict[str, Any]:
    """A letter as `list --json` has it."""
    return {
        "id": letter.id,
        "reason": letter.reason,
        "status": letter.status,
        "error": letter.error,
        "type": letter.type,
        "account_id": letter.account_id,
        "sent_ms": letter.sent_ms,
        "attempts": letter.attempts,
        "history": letter.history,
    }


def show(letter: Letter, console: Console, *, now_ms: int, reveal: bool) -> None:
    """Print a letter: its reason and ids, then its payload."""
    message = letter.message
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(letter, now_ms):
        facts.add_row(Text(name, style=DIM), Text(safe(value)))
    if message is not None:
        request = safe(message.id) if reveal or masked(message.id, "id") != MASK else MASK
        accepted = as_utc(message.received_at_ms)
        facts.add_row(Text("request", style=DIM), Text(f"{request}, part {message.part}, accepted {accepted} UTC"))
    console.print(facts)
    others = sorted(set(letter.attributes) - set(KNOWN))
    if reveal:
        for name in others:
            one = letter.attributes[name]
            console.print(Text(safe(f"attribute {name}: {one.get('StringValue', 'binary')}")))
    elif others:
        console.print(Text(f"{len(others)} attributes are not Spillway's: --reveal shows them.", style=DIM))
    if message is None:
        _show_body(letter, console, reveal=reveal)
        return
    if not reveal:
        console.print(Text("What customers and users put in is masked; --reveal shows it.", style=DIM))
    _show_json(message.payload if reveal else masked(message.payload), console)


def _facts(letter: Letter, now_ms: int) -> Sequence[tuple[str, str]]:
    status = f", HTTP {letter.status}" if letter.status != "-" else ""
    reason = "none: SQS moved it here after 1,000 receives" if letter.reason == NO_REASON else letter.reason
    attempts = "" if letter.attempts is None else f"{letter.attempts:,}"
    facts = (
        ("letter", letter.id),
        ("reason", reason + status),
        ("error", letter.error),
        ("type", letter.type),
        ("account", letter.account_id),
        ("here since", f"{as_utc(letter.sent_ms)} UTC ({ago(letter.sent_ms, now_ms)})"),
        ("attempts", attempts),
        ("redriven", history_said(letter.history)),
    )
    return [(name, value) for name, value in facts if value and value != "-"]


def history_said(history: str) -> str:
    """`2 rejected:422 unmappable` in words."""
    times, *before = history.split() or [""]
    if not times:
        return ""
    was = ", ".join(one.replace(":", " ") for one in before)
    return f"{'once' if times == '1' else times + ' times'}; before that {was}" if was else f"{times} times"


def _show_body(letter: Letter, console: Console, *, reveal: bool) -> None:
    size = len(letter.body.encode("utf-8", "surrogatepass"))
    console.print(Text(f"Nobody can read its body, {size:,} bytes.", style=WARN))
    if not reveal:
        console.print(Text("--reveal shows it as it is.", style=DIM))
        return
    console.print(Text(safe(letter.body[:BODY_SHOWN])), soft_wrap=True)
    if len(letter.body) > BODY_SHOWN:
        console.print(Text(f"… {len(letter.body) - BODY_SHOWN:,} characters more: spillway dlq export", style=DIM))


def _show_json(value: Any, console: Console) -> None:
    text = simplejson.dumps(value, indent=2, ensure_ascii=False, use_decimal=True)
    console.print(Text(safe_json(text)), soft_wrap=True)


def show_plan(plan: Plan, deployed: Deployed, here: str, console: Console, *, said: str) -> None:
    """Print what would become of the letters."""
    one = plan.letters == 1
    console.print(
        Text(f"{plan.letters:,} {'letter matches' if one else 'letters match'} ({safe(said)}):", style="bold")
    )
    fates = [fate for fate in Fate if plan.counts.get(fate)]
    for fate, (count, words) in zip(fates, plan.lines(), strict=True):
        style = GOOD if fate in {Fate.SENT, Fate.RESUMES} else WARN
        console.print(Text.assemble((f"{count:>8,}  ", style), safe(words)))
        if fate in COMES_BACK:
            console.print(Text(f"          e.g. {safe(plan.samples[fate])}", style=DIM))
    for error, count in sorted(plan.errors.items(), key=lambda pair: -pair[1])[:3]:
        console.print(Text(f"          {count:,}: {safe(error)}", style=DIM))
    if deployed.problem:
        console.print(Text(safe(f"Tried with no partner: {deployed.problem}."), style=WARN))
        return
    console.print(Text(safe(f"Tried with {deployed.name}, as the live worker has it."), style=DIM))
    if "unknown" not in {deployed.commit, here} and deployed.commit != here:
        console.print(
            Text(
                f"The live worker is of commit {safe(deployed.commit)}, this checkout of {safe(here)}: what they map"
                " differently is planned as here.",
                style=WARN,
            )
        )


def as_json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2)
