from datetime import UTC, datetime, timedelta

import pytest

from ops.releases.after_deploy import noted
from ops.releases.note import Entry, Note
from ops.releases.pair import Pair

NOW = datetime(2026, 11, 24, 16, 20, 31, tzinfo=UTC)
AT = "20261124T162031Z"
FIVE = "ingest/worker 5/5 20261120T090000Z, 4/4 -"


@pytest.mark.parametrize(
    ("was", "notes", "expected"),
    [
        (None, ("", ""), f"ingest/worker 6/7 {AT}"),
        (Pair(5, 5), ("", ""), f"ingest/worker 6/7 {AT}, 5/5 -"),
        (Pair(5, 5), ("somebody's words", "somebody's words"), f"ingest/worker 6/7 {AT}, 5/5 -"),
        (Pair(5, 5), (FIVE, FIVE), f"ingest/worker 6/7 {AT}, 5/5 20261120T090000Z, 4/4 -"),
        (Pair(3, 5), (FIVE, FIVE), f"ingest/worker 6/7 {AT}, 3/5 -, 5/5 20261120T090000Z, 4/4 -"),
        (
            Pair(5, 5),
            (f"{FIVE}; back from 8/8 {AT}, 6/7 {AT}", ""),
            f"ingest/worker 6/7 {AT}, 5/5 20261120T090000Z, 4/4 -; back from 8/8 {AT}",
        ),
    ],
)
def test_a_deploy_notes_what_was_live_before(was: Pair | None, notes: tuple[str, str], expected: str) -> None:
    """As a promote does; a first deploy has nothing before it, and a pair that is live is no longer rolled back."""
    assert noted(Pair(6, 7), was, notes, NOW) == expected


def test_a_promote_that_was_cut_short_is_noted_from_the_time_before_it() -> None:
    """One alias had moved and the other had not: what stood there before both moved is what a rollback needs."""
    old = Note((Entry(Pair(5, 5), NOW), Entry(Pair(4, 4), None)))
    new = old.promoted(Pair(6, 6), NOW + timedelta(minutes=1))
    for notes in ((str(old), str(new)), (str(new), str(old))):
        assert noted(Pair(7, 7), Pair(5, 6), notes, NOW).startswith(f"ingest/worker 7/7 {AT}, 5/6 -, 5/5 {AT}, 4/4 -")
