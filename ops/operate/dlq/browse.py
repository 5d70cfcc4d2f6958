"""The verbs that look at letters and leave them where they are: `summary`, `list`, `show`, `export`."""

from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from ops.console.screen import DIM
from ops.console.terminal import safe, say_json
from ops.operate.dlq import screens
from ops.operate.dlq.archive import Archive
from ops.operate.dlq.desk import Desk
from ops.operate.dlq.filters import Filter
from ops.operate.dlq.groups import Groups
from ops.operate.dlq.letters import Letter, counted
from ops.operate.dlq.look import look


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
        desk.say("Next: spillway dlq show ID, spillway dlq redrive --reason ...", DIM)
    else:
        screens.nothing(looked, desk.console, said=chosen.said())
    desk.say_notes(looked)
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
        screens.nothing(looked, desk.console, said=chosen.said())
    elif len(shown) >= most and looked.there > len(shown):
        desk.console.print(
            Text(f"{most:,} of them are listed, about {looked.there:,} lie there: --limit, or a filter.", style=DIM)
        )
    desk.say_notes(looked)
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
        desk.say_notes(looked)
    return 0 if found else 1


def export(desk: Desk, chosen: Filter, path: Path) -> int:
    """Write the letters into a file, and leave them where they are; returns 0."""
    written = Archive.at(path)
    try:
        looked = look(desk.dead, lambda one: written.write(one) if chosen.matches(one) else None, clock=desk.clock)
    finally:
        written.close()
    desk.console.print(Text(safe(f"{_are(written.letters)} in {path}, and in the queue as before.")))
    desk.console.print(Text("It holds people's data and customers' keys: delete it when it is not needed.", style=DIM))
    desk.say_notes(looked)
    return 0


def _are(letters: int) -> str:
    return f"{counted(letters)} {'is' if letters == 1 else 'are'}"
