"""`spillway dlq purge`: letters deleted for good."""

from collections.abc import Callable

from ops.console.screen import WARN
from ops.operate import trail
from ops.operate.dlq import screens
from ops.operate.dlq.desk import Desk
from ops.operate.dlq.filters import Filter
from ops.operate.dlq.groups import Groups
from ops.operate.dlq.letters import Letter, counted
from ops.operate.dlq.look import HIDDEN_S, look
from ops.operate.dlq.notebook import Notebook


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
            screens.nothing(looked, desk.console, said=chosen.said())
            return 0
        screens.summary(groups, groups.by, desk.console, now_ms=desk.now_ms())
        desk.say_notes(looked)
        desk.say(f"{counted(groups.count)} would be deleted ({chosen.said()}); nobody gets them back.", WARN)
        if not is_yes:
            desk.say("Nothing was deleted: spillway dlq export keeps them, --yes asks once more and deletes.")
            return 0
        words = f"purge {groups.count}"
        if ask(f"Type {words!r} to delete them") != words:
            desk.say("Nothing was deleted: what you typed is not the text that was asked for.")
            return 1
        with trail.act(desk.stack, f"dlq purge ({chosen.said()}), {counted(groups.count)}", why=why) as noted:
            deleted = _delete(desk, notebook, groups.count)
            noted.result = f"{deleted:,} of {groups.count:,} deleted"
        desk.say(noted.result + ".")
        return 0 if deleted == groups.count else 1
    finally:
        notebook.close()


def _delete(desk: Desk, notebook: Notebook, count: int) -> int:
    dead, deleted, empty = desk.dead, 0, 0
    try:
        while deleted < count and empty < 3:
            found = dead.receive(HIDDEN_S)
            empty = 0 if found else empty + 1
            chosen = [one for one in found if notebook.fate(one.id)]
            gone = dead.delete(chosen)
            deleted += len(gone)
            for one in found:
                if one.id not in gone:
                    notebook.hold(one.id, one.handle)
    finally:
        for handles in notebook.let_go():
            dead.give_back(handles)
    return deleted
