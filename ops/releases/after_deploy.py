"""Called by a deploy after it has moved the aliases: `python -m ops.releases.after_deploy`. Prints both aliases' note.

On standard input, as JSON, versions as [ingest, worker]: {"live": [6, 6], "was": [5, 5] or null, "notes": [...]}, the
notes as they were on both aliases before. infra/alias.cjs calls this, and writes the note.
"""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from ops.console.terminal import say
from ops.releases.note import Entry, Note, read_note
from ops.releases.pair import Pair


def noted(live: Pair, was: Pair | None, notes: Sequence[str], now: datetime) -> str:
    """The note of both aliases when `live` serves and `was` served before."""
    if was is None:
        return str(Note((Entry(live, now),)))
    return str(read_note(was, *notes).promoted(live, now))


def main() -> int:
    """Answer what standard input asks; gives the exit status."""
    asked = json.load(sys.stdin)
    was = Pair(*asked["was"]) if asked["was"] else None
    say(noted(Pair(*asked["live"]), was, asked["notes"], datetime.now(UTC)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
