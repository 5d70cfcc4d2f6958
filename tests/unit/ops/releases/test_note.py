from datetime import UTC, datetime, timedelta

import pytest

from ops.releases.note import MAX_CHARS, Entry, Note, read_note
from ops.releases.pair import Pair, UnknownVersion, read_pair

NOW = datetime(2026, 11, 24, 16, 20, 31, tzinfo=UTC)


def pair(number: int) -> Pair:
    return Pair(number, number)


def test_a_note_reads_back_as_it_was_written() -> None:
    """The text on the alias holds pairs, times and what was rolled back."""
    note = Note((Entry(Pair(5, 6), NOW), Entry(pair(4), None)), (Entry(pair(7), NOW),))
    assert str(note) == "ingest/worker 5/6 20261124T162031Z, 4/4 -; back from 7/7 20261124T162031Z"
    assert read_note(Pair(5, 6), str(note), str(note)) == note


@pytest.mark.parametrize("text", ["", "the live version", "ingest/worker x/y -", "ingest/worker "])
def test_an_alias_without_a_note_knows_what_is_live(text: str) -> None:
    """A description that somebody else wrote is no note."""
    assert read_note(pair(3), text, text) == Note((Entry(pair(3), None),))


def test_what_is_live_decides_and_the_note_says_what_was_before() -> None:
    """An alias that was moved without its note: what the note calls live was live before."""
    noted = str(Note((Entry(pair(5), NOW),)))
    assert read_note(pair(6), noted, noted).previous == Entry(pair(5), NOW)


def test_a_move_that_was_cut_short_goes_back_to_what_was_before_it() -> None:
    """One alias has moved and the other has not: the older note tells where both were."""
    old = Note((Entry(pair(5), NOW), Entry(pair(4), None)))
    new = old.promoted(pair(6), NOW + timedelta(minutes=1))
    for texts in ((str(old), str(new)), (str(new), str(old))):
        assert read_note(Pair(5, 6), *texts).previous == Entry(pair(5), NOW)


def test_rolling_back_twice_goes_further_back() -> None:
    """It never returns to what was rolled back."""
    note = Note((Entry(pair(3), NOW), Entry(pair(2), NOW), Entry(pair(1), NOW)))
    once = note.rolled_back(NOW)
    assert once.live[0].pair == pair(2)
    twice = once.rolled_back(NOW)
    assert (twice.live[0].pair, twice.previous) == (pair(1), None)
    assert [entry.pair for entry in twice.back] == [pair(2), pair(3)]


def test_a_pair_that_is_promoted_again_is_no_longer_rolled_back() -> None:
    """Who names it has decided."""
    note = Note((Entry(pair(2), NOW), Entry(pair(1), NOW))).rolled_back(NOW)
    assert note.promoted(pair(2), NOW).back == ()


def test_a_long_history_fits_the_alias() -> None:
    """What is oldest is left out; what is live and what was before stay."""
    note = Note((Entry(pair(1), NOW),))
    for number in range(2, 200):
        note = note.promoted(pair(number), NOW)
    text = str(note)
    assert len(text) <= MAX_CHARS
    kept = read_note(pair(199), text, text)
    assert [entry.pair for entry in kept.live[:2]] == [pair(199), pair(198)]
    assert len(kept.live) >= 8


def test_messages_of_two_weeks_may_be_on_a_queue() -> None:
    """What was live, or rolled back, longer ago than the queues keep a message counts no more."""
    long_ago = NOW - timedelta(days=15)
    note = Note((Entry(pair(5), NOW - timedelta(days=1)), Entry(pair(4), long_ago), Entry(pair(3), long_ago)))
    assert list(note.writers(NOW)) == [5, 4]
    assert list(Note((Entry(pair(5), NOW),), (Entry(pair(6), NOW), Entry(pair(7), long_ago))).writers(NOW)) == [5, 6]
    assert list(Note((Entry(pair(5), None), Entry(pair(4), None))).writers(NOW)) == [5, 4], "not known counts"


@pytest.mark.parametrize(("text", "read"), [("7", Pair(7, 7)), ("worker=9, ingest=7", Pair(7, 9))])
def test_a_pair_is_read_as_it_is_written(text: str, read: Pair) -> None:
    """One number for both, or one of each."""
    assert read_pair(text) == read == read_pair(str(read))


@pytest.mark.parametrize(
    "text", ["", "0", "newest", "ingest=7", "ingest=7,worker=x", "ingest=7,worker=9,other=1", "-1"]
)
def test_anything_else_is_refused(text: str) -> None:
    """The text says what it may be."""
    with pytest.raises(UnknownVersion, match="it is a version number, or one for each"):
        read_pair(text)
