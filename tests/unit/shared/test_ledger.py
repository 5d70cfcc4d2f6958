"""The ledger: what became of all that was accepted, by the facts that were written."""

import random
from typing import Any

import pytest

from shared.ledger import Depths, Ledger, Whereabouts, read_entry
from shared.telemetry import Fact

EMPTY = Depths(0, 0)


def ledger(*facts: tuple[Fact, dict[str, Any]], first_ms: int = 1_000) -> Ledger:
    made = Ledger()
    for index, (kind, fields) in enumerate(facts):
        made.add(kind, fields, first_ms + index)
    return made


def accepted(
    request_id: str = "r", events: int = 2, *, account: str = "7", parts: int = 1
) -> tuple[Fact, dict[str, Any]]:
    fields: dict[str, Any] = {"request_id": request_id, "account_id": account, "events": events}
    return Fact.ACCEPTED, {**fields, **({"parts": parts} if parts > 1 else {})}


def delivered(*entries: str) -> tuple[Fact, dict[str, Any]]:
    return Fact.DELIVERED, {"messages": list(entries)}


def told(kind: Fact, message_id: str = "m1", request_id: str = "r", **fields: Any) -> tuple[Fact, dict[str, Any]]:
    return kind, {"request_id": request_id, "message_id": message_id, "events": 2, **fields}


def test_what_is_delivered_and_left_out_is_told_apart() -> None:
    """Two events of one message, of which one becomes no call."""
    sums = ledger(accepted(events=2), delivered("r m1 2-1")).sums(EMPTY)
    assert (sums.accepted, sums.delivered, sums.left_out, sums.gap, sums.balance) == (2, 1, 1, 0, 0)


@pytest.mark.parametrize(
    ("last", "place"),
    [
        (Fact.WAIT, Whereabouts.WAITING),
        (Fact.PARKED, Whereabouts.PARKED),
        (Fact.UNSETTLED, Whereabouts.WAITING),
        (Fact.DEAD_LETTER, Whereabouts.DEAD),
    ],
)
def test_a_message_is_where_it_was_told_last(last: Fact, place: Whereabouts) -> None:
    """Whatever was told before, in whichever order it is read."""
    facts = [accepted(), told(Fact.WAIT), told(last, reason="rejected")]
    made = Ledger()
    for at_ms, (kind, fields) in sorted(enumerate(facts), reverse=True):
        made.add(kind, fields, at_ms)
    assert made.place_of("r") is place


def test_a_message_that_was_parked_moved_back_and_delivered_is_delivered() -> None:
    """SQS gives it a new id with each send; request and part stay."""
    sums = ledger(accepted(), told(Fact.PARKED, "m1"), told(Fact.WAIT, "m2"), delivered("r m3 2")).sums(EMPTY)
    assert (sums.delivered, sums.parked, sums.waiting, sums.more_copies) == (2, 0, 0, 0)


def test_a_dead_letter_that_was_redriven_counts_by_its_new_end() -> None:
    """Dead again for another reason, or delivered."""
    letter = told(Fact.DEAD_LETTER, "m1", reason="rejected")
    again = ledger(accepted(), letter, told(Fact.DEAD_LETTER, "m2", reason="too_old")).sums(EMPTY)
    assert again.dead == {"too_old": 2}
    assert ledger(accepted(), letter, delivered("r m2 2")).sums(EMPTY).delivered == 2


def test_a_request_that_came_twice_needs_two_ends() -> None:
    """mParticle sent it again: one copy is delivered, the other one waits."""
    sums = ledger(accepted(), accepted(), delivered("r m1 2"), told(Fact.WAIT, "m2")).sums(Depths(1, 0))
    assert (sums.accepted, sums.delivered, sums.waiting, sums.gap) == (4, 2, 2, 0)


def test_a_message_that_sqs_delivered_twice_is_counted_once() -> None:
    """At least once: two workers told of the same message."""
    sums = ledger(accepted(), delivered("r m1 2"), delivered("r m1 2")).sums(EMPTY)
    assert (sums.accepted, sums.delivered, sums.more_copies, sums.balance) == (2, 2, 0, 0)


def test_a_second_copy_that_nobody_accepted_is_said() -> None:
    """SQS took the message, its answer was lost, and ingest sent it once more."""
    assert ledger(accepted(), delivered("r m1 2"), delivered("r m2 2")).sums(EMPTY).more_copies == 1


def test_parts_of_a_request_have_ends_of_their_own() -> None:
    """Of three parts one is delivered, one is dead; the third, untold, has what is left of the events."""
    part = told(Fact.DEAD_LETTER, part="2/3", reason="rejected")
    sums = ledger(accepted(events=10, parts=3), delivered("r 1/3 m1 5"), part).sums(Depths(1, 0))
    assert (sums.accepted, sums.delivered, sums.dead, sums.waiting) == (10, 5, {"rejected": 2}, 3)


def test_a_gap_is_named_with_its_messages() -> None:
    """Three have no end, the queue holds one: two are missing, those first of which nothing was told for longest."""
    made = ledger(accepted("a"), accepted("b"), accepted("c"), told(Fact.WAIT, request_id="c"))
    sums = made.sums(Depths(1, 0))
    assert (sums.gap, [one.request_id for one in sums.gap_of], sums.waiting, sums.balance) == (4, ["a", "b"], 2, 0)


def test_a_message_that_waits_is_not_taken_for_a_missing_one() -> None:
    """It was told of before the other was accepted, and is hidden for longer than that one has been overdue."""
    wait = told(Fact.WAIT, request_id="hidden", wait_s=180)
    made = ledger(accepted("hidden"), wait, accepted("moved")).sums(Depths(1, 0))
    assert [one.request_id for one in made.gap_of] == ["moved"]


def test_without_the_depths_no_gap_is_claimed() -> None:
    """Facts alone cannot tell what waits from what is lost."""
    sums = ledger(accepted()).sums()
    assert (sums.gap, sums.waiting, sums.balance) == (None, 2, 0)


def test_what_is_on_its_way_back_from_parking_waits() -> None:
    """Parked by its last line, and no longer in the parking queue."""
    sums = ledger(accepted(), told(Fact.PARKED)).sums(Depths(1, 0))
    assert (sums.parked, sums.waiting, sums.gap) == (0, 2, 0)


def test_an_account_is_counted_by_itself() -> None:
    """The sums of the accounts are those of all."""
    made = ledger(accepted("a", 1, account="1"), accepted("b", 3, account="2"), delivered("a m1 1", "b m2 3"))
    assert [made.sums(account_id=one).accepted for one in made.accounts()] == [1, 3]


def of(account: str, *message_ids: str, events: int = 2) -> tuple[Fact, dict[str, Any]]:
    """A request `r` of an account, accepted as SQS's messages."""
    kind, fields = accepted(events=events, account=account)
    return kind, {**fields, "messages": list(message_ids)}


def by_account(made: Ledger) -> dict[str, tuple[int, int, int, int]]:
    each = {one: made.sums(account_id=one) for one in made.accounts()}
    return {one: (sums.accepted, sums.delivered, sums.waiting, sums.all_dead) for one, sums in each.items()}


def test_two_accounts_may_have_requests_with_one_id() -> None:
    """Each has its own events and its own end, by SQS's id of its message."""
    made = ledger(of("1", "m1", events=3), of("2", "m2", events=5), delivered("r m2 5"))
    assert by_account(made) == {"1": (3, 0, 3, 0), "2": (5, 5, 0, 0)}
    sums = made.sums(EMPTY)
    assert (sums.accepted, sums.delivered, sums.gap, sums.balance) == (8, 5, 3, 0)
    assert [(one.request_id, one.account_id) for one in sums.gap_of] == [("r", "1")]
    assert [(one, end.place) for one, end in made.copies_of("r")] == [
        ("1", Whereabouts.UNSEEN),
        ("2", Whereabouts.DELIVERED),
    ]


def test_what_a_line_names_belongs_to_its_account_whatever_sqs_calls_it() -> None:
    """A dead letter of one is none of the other, and one that was moved and delivered is that of whose was moved."""
    dead = told(Fact.DEAD_LETTER, "m9", reason="rejected", account_id="1")
    made = ledger(of("1", "m1"), of("2", "m2"), dead)
    assert by_account(made) == {"1": (2, 0, 0, 2), "2": (2, 0, 2, 0)}
    parked = told(Fact.PARKED, "m2", account_id="2")
    made = ledger(of("1", "m1"), of("2", "m2"), parked, delivered("r m7 2"))
    assert by_account(made) == {"1": (2, 0, 2, 0), "2": (2, 2, 0, 0)}


def test_another_accounts_end_is_not_taken_for_ones_own() -> None:
    """The other one's request was accepted before the range: only its dead letter is in it."""
    dead = told(Fact.DEAD_LETTER, "m9", reason="rejected", account_id="2")
    assert by_account(ledger(of("1", "m1"), dead)) == {"1": (2, 0, 2, 0)}


def test_a_request_without_an_account_is_counted_under_a_name_of_its_own() -> None:
    """The accounts' sums are those of all, whoever sent none."""
    kind, fields = accepted(events=4)
    made = ledger((kind, {**fields, "account_id": None}), accepted("a"), delivered("r m1 4"))
    assert by_account(made) == {"-": (4, 4, 0, 0), "7": (2, 0, 2, 0)}


def test_what_was_accepted_before_the_range_is_not_counted() -> None:
    """Its end alone was read."""
    assert ledger(delivered("old m1 5")).sums(EMPTY).delivered == 0


@pytest.mark.parametrize(
    ("entry", "read"),
    [
        ("r m1 2", (("r", "1/1"), "m1", 2, 0)),
        ("r 2/3 m1 2-1", (("r", "2/3"), "m1", 2, 1)),
        ("an id with spaces m1 2", (("an id with spaces", "1/1"), "m1", 2, 0)),
        ("an id like 2/3 1/1 m1 2", (("an id like 2/3", "1/1"), "m1", 2, 0)),
        ("r", None),
        ("r m1 x", None),
        ("r m1 2-x", None),
        ("r m1 2-", None),
        ("r m1 " + "9" * 10, None),
        ("r m1 " + "9" * 5_000, None),
        ("r m1 \u0662", None),
    ],
)
def test_an_entry_is_read_as_it_was_written(entry: str, read: object) -> None:
    """Request, part, SQS's id, events; an id may hold spaces, and what is none is passed over."""
    assert read_entry(entry) == read


def test_the_equation_holds_whatever_was_told() -> None:
    """accepted = delivered + left out + waiting + parked + dead + gap, for any facts in any order."""
    dice = random.Random(5)
    kinds = [Fact.WAIT, Fact.PARKED, Fact.DEAD_LETTER, Fact.UNSETTLED]
    for _ in range(200):
        made = Ledger()
        for at_ms in range(dice.randrange(60)):
            request_id, message_id = f"r{dice.randrange(8)}", f"m{dice.randrange(4)}"
            kind, fields = dice.choice(
                [
                    accepted(
                        request_id,
                        dice.randrange(1, 5),
                        account=str(dice.randrange(2)),
                        parts=1 + int(request_id[1]) % 3,
                    ),
                    delivered(f"{request_id} {message_id} {dice.randrange(4)}-{dice.randrange(2)}"),
                    told(dice.choice(kinds), message_id, request_id, reason="rejected"),
                ]
            )
            made.add(kind, fields, at_ms)
        assert made.sums(Depths(dice.randrange(5), dice.randrange(3))).balance == 0
        assert made.sums().balance == 0
        each = [made.sums(account_id=one) for one in made.accounts()]
        assert [sum(one.accepted for one in each), sum(one.balance for one in each)] == [made.sums().accepted, 0]
