"""What SQS says of a message, whatever is in its record."""

from typing import Any

import pytest

from testkit.records import raw_record
from worker_fn.batch.record import Record

SENT_MS = 1_700_000_000_000


def said(**attributes: Any) -> Record:
    return Record({"attributes": attributes})


def test_a_record_is_read_as_sqs_hands_it_over() -> None:
    """Its id, its group, its receives, and what it says of itself."""
    one = Record(raw_record(3, "body", receives=4, sent_ms=SENT_MS, group="7", attributes={"history": "x"}))
    assert (one.message_id, one.group, one.receives, one.was_dead) == ("m-3", "7", 4, False)
    assert (one.number("SentTimestamp", 0), one.said("history"), one.redriven_ms) == (SENT_MS, "x", 0)


def test_a_record_that_says_nothing_may_have_been_received_before() -> None:
    """If the number of receives is unknown, the message may have been received before."""
    one = Record({})
    assert (one.message_id, one.group, one.receives, one.was_dead, one.redriven_ms) == ("", "", 2, False, 0)


@pytest.mark.parametrize("odd", [None, 3, [], {}, "", "-1", "1.0", "x", "9" * 20, "1e3"])
def test_what_is_no_number_counts_as_not_said(odd: Any) -> None:
    assert said(ApproximateReceiveCount=odd).receives == 2


@pytest.mark.parametrize("odd", [None, 5, [], "x"])
def test_attributes_of_another_kind_count_as_none(odd: Any) -> None:
    """Attributes of a wrong type count as missing, both SQS's and the message's."""
    one = Record({"attributes": odd, "messageAttributes": odd})
    assert (one.receives, one.group, one.said("reason"), one.was_dead) == (2, "", "", False)


def test_a_dead_letter_that_came_back_is_known_by_its_reason() -> None:
    """A message with a reason is a dead letter that came back, even if the reason is not text."""
    assert Record({"messageAttributes": {"reason": None}}).was_dead


def test_nobody_was_redriven_after_it_was_sent() -> None:
    """A redrive time in the future counts as the time at which SQS got the message; binary and odd values count as
    none.
    """
    one = raw_record(1, "body", sent_ms=SENT_MS, attributes={"redriven_ms": str(10**14)})
    assert Record(one).redriven_ms == SENT_MS
    for odd in (None, 5, [], "x", {"binaryValue": "AA=="}, {"stringValue": 5}):
        assert Record({**one, "messageAttributes": {"redriven_ms": odd}}).redriven_ms == 0
