"""A suspension, as the state table holds it."""

from dataclasses import replace

import pytest

from shared.state import Item
from worker_fn.accounts.suspension import EVERY, GIVE_UP_MS, NOBODY, PROBE_LOST_MS, Suspension, by_account, holding


def test_listing_is_by_account_whatever_the_release_that_wrote_it() -> None:
    """An item without a fingerprint counts as a suspension of its whole account."""
    value = {"status": 401, "since_ms": 1, "probe_id": "x", "probe_at_ms": 2}
    found = by_account({"7": Item(1, value), "8#ab": Item(1, {**value, "account_id": "8", "fingerprint": "ab"})})
    assert {name: [one.fingerprint for one in ones] for name, ones in found.items()} == {"7": ["*"], "8": ["ab"]}


@pytest.mark.parametrize(
    "value", [{}, {"status": 401}, {"probe_at_ms": "soon"}, {"probe_at_ms": None}, {"probe_at_ms": 2}]
)
def test_an_item_that_is_no_suspension_suspends_nobody(value: dict[str, object]) -> None:
    """An unreadable item suspends nobody: a further refusal suspends again, and other accounts' suspensions are
    known.
    """
    assert list(by_account({"6": Item(1, value), "7#ab": Item(1, ONE.to_item())})) == ["7"]


@pytest.mark.parametrize(
    "odd",
    [
        {"status": "401"},
        {"since_ms": None},
        {"probe_id": 7},
        {"probe_at_ms": "2000"},
        {"probe_at_ms": True},
        {"fingerprint": ["ab"]},
        {"fingerprint": None},
    ],
    ids=str,
)
def test_one_without_a_field_of_its_kind_is_none(odd: dict[str, object]) -> None:
    """An item without a required field suspends nobody, not even its own account, and hides no other item of the
    account.
    """
    found = by_account({"7#ab": Item(1, ONE.to_item() | odd), "7#cd": Item(1, ONE.to_item() | {"fingerprint": "cd"})})
    assert [one.fingerprint for one in found["7"]] == ["cd"]


@pytest.mark.parametrize("odd", ["x", None, [1], -1, 1.5])
def test_what_may_be_missing_may_be_of_another_kind(odd: object) -> None:
    """Optional fields of a wrong type (how often, of which type, since when another key is accepted) have their
    defaults.
    """
    value = ONE.to_item() | dict.fromkeys(("turns", "superseded_ms"), odd) | {"kind": 5}
    (one,) = by_account({"7#ab": Item(1, value)})["7"]
    assert (one.turns, one.superseded_ms, one.kind, one.gives_up_ms) == (1, 0, "", None)


ONE = Suspension("7#ab", "7", "ab", 401, 1_000, "m-1", 2_000, 1_500, 2, kind="event_processing_request")


def test_a_suspension_is_read_as_it_was_written() -> None:
    """A suspension is read with every field, and with the revision that the next write has to name."""
    assert Suspension.from_item("7#ab", Item(4, ONE.to_item())) == replace(ONE, item=Item(4, ONE.to_item()))


@pytest.mark.parametrize(
    ("fingerprint", "carried", "is_held"),
    [("ab", ["cd", "ab"], True), ("ab", ["cd"], False), (EVERY, ["cd"], True), (EVERY, [], False)],
)
def test_what_carries_a_suspended_credential_is_held_up(fingerprint: str, carried: list[str], is_held: bool) -> None:
    """A suspended account holds up every message with credentials; a suspended credential holds up only its own
    messages.
    """
    one = replace(ONE, fingerprint=fingerprint)
    assert (holding([one], carried) is one) is is_held


def test_an_old_key_is_given_up_an_hour_after_another_was_taken() -> None:
    """A refused key is given up an hour after another was accepted, and never if none was."""
    assert not ONE.is_given_up(now_ms=10**13)
    replaced = replace(ONE, superseded_ms=5_000)
    assert not replaced.is_given_up(now_ms=4_999 + GIVE_UP_MS)
    assert replaced.is_given_up(now_ms=5_000 + GIVE_UP_MS)


def test_a_probe_that_is_not_seen_is_lost() -> None:
    """If a probe is not seen by its next turn, another message may become the probe."""
    assert ONE.lost_ms == 2_000 + PROBE_LOST_MS
    assert replace(ONE, probe_id=NOBODY).lost_ms == 2_000
