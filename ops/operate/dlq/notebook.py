"""What a run remembers of letters, on disk, so that thousands of ids and receipt handles take no memory.

A temporary database that goes with the process, however that ends.
"""

import sqlite3
from collections.abc import Iterator

ROWS_AT_ONCE = 1_000


class Notebook:
    """For each letter's id: its last receipt handle, its fate by the plan, whether it was sent."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("")  # a file of its own, without a name
        self._db.execute("CREATE TABLE held (id TEXT PRIMARY KEY, handle TEXT) WITHOUT ROWID")
        self._db.execute("CREATE TABLE planned (id TEXT PRIMARY KEY, fate TEXT) WITHOUT ROWID")
        self._db.execute("CREATE TABLE sent (id TEXT PRIMARY KEY) WITHOUT ROWID")

    def hold(self, letter_id: str, handle: str) -> bool:
        """Note a letter that was received; returns whether it is new."""
        before = self._db.total_changes
        self._db.execute("INSERT OR IGNORE INTO held VALUES (?, ?)", (letter_id, handle))
        if self._db.total_changes > before:
            return True
        self._db.execute("UPDATE held SET handle = ? WHERE id = ?", (handle, letter_id))
        return False

    def let_go(self) -> Iterator[list[str]]:
        """Forget the letters that are held, and give their handles, a thousand at a time."""
        while rows := self._db.execute("SELECT id, handle FROM held LIMIT ?", (ROWS_AT_ONCE,)).fetchall():
            self._db.executemany("DELETE FROM held WHERE id = ?", [(row[0],) for row in rows])
            yield [row[1] for row in rows]

    def release(self, letter_id: str) -> None:
        self._db.execute("DELETE FROM held WHERE id = ?", (letter_id,))

    def plan(self, letter_id: str, fate: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO planned VALUES (?, ?)", (letter_id, fate))

    def fate(self, letter_id: str) -> str | None:
        """A letter's fate by the plan; None: it has none."""
        row = self._db.execute("SELECT fate FROM planned WHERE id = ?", (letter_id,)).fetchone()
        return None if row is None else str(row[0])

    def mark_sent(self, letter_id: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO sent VALUES (?)", (letter_id,))

    def was_sent(self, letter_id: str) -> bool:
        return self._db.execute("SELECT 1 FROM sent WHERE id = ?", (letter_id,)).fetchone() is not None

    def close(self) -> None:
        self._db.close()
