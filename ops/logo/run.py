"""`spillway logo check`: prints, and returns the exit status."""

from pathlib import Path

from ops.console import findings as checks
from ops.console.screen import Screen
from ops.console.terminal import safe, say_json
from ops.logo.check import check
from ops.logo.preview import write_preview


def run(file: Path, preview: Path, *, as_json: bool) -> int:
    """Check a logo and draw its preview, if it can be drawn. Raises LogoUnreadable."""
    picture, found = check(file)
    if picture:
        write_preview(picture, preview)
    if as_json:
        say_json(checks.as_json(found))
        return checks.exit_status(found)
    console = Screen()
    checks.show(found, console, good=f"{file} can be sent to mParticle.")
    if picture:
        console.print(f"Look at it yourself: {safe(preview)}")
    return checks.exit_status(found)
