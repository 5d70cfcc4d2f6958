"""`spillway demo`: run a scenario, show its numbers, say with the exit status whether it held.

0: nothing lost on any side; nothing throttled, failed, falsely dead-lettered or left over on Spillway's. 1: something
was. 2: it could not run. 3: something was late or throttled, and other work on the machine may be why.
"""

from pathlib import Path

from rich.text import Text

from ops.console.screen import BAD, GOOD, Screen
from ops.console.terminal import COULD_NOT_RUN, INTERRUPTED, safe
from ops.demo import figures, report
from ops.demo import run as demo_run
from ops.demo.live_view import view
from ops.demo.scenarios import DemoScenario
from ops.demo.settings import DemoSettings
from ops.demo.side import DemoFailed
from ops.local.aws import LocalAwsError, sigterm_as_exit

TOO_BUSY_TO_TELL = 3


def run(scenario: DemoScenario, settings: DemoSettings, folder: Path) -> int:
    """Run the demo; returns the exit status."""
    console, errors = Screen(), Screen(stderr=True)
    try:
        with sigterm_as_exit(), view(console) as shown:
            sides = demo_run.run(scenario, settings, view=shown, folder=folder)
    except (LocalAwsError, DemoFailed, OSError) as error:
        errors.print(f"spillway demo: {error}")
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        errors.print("spillway demo: stopped")
        return INTERRUPTED
    summaries = {name: figures.summarise(side) for name, side in sides.items()}
    spillway = summaries[report.SPILLWAY]
    console.print(report.table(summaries))
    if scenario.compares and not summaries[report.DIRECT].throttled:
        console.print("With these settings the direct design keeps up: lower LIMIT or send more to see it throttle.")
    if not scenario.compares:
        console.print(report.customers_table(spillway))
    console.print(f"Ledger, in events: {sides[report.SPILLWAY].accounted}")
    found = report.problems(summaries)
    for problem in found:
        console.print(Text.assemble(("✗", BAD), f" {safe(problem)}"))
    if not found:
        console.print(Text.assemble(("✓", GOOD), f" {safe(report.verdict(spillway))}"))
    console.print(f"  {folder / 'report.html'} has the plots, {folder / 'report.json'} the numbers")
    if found and report.was_too_busy(summaries):
        console.print(f"  Too busy to tell: {report.busy_text(summaries)}")
        return TOO_BUSY_TO_TELL
    return 1 if found else 0
