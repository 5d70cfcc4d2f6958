"""Attributes as SQS takes them."""

import pytest

from shared.queue.attributes import ENTRIES, MAX_BATCH_BYTES, in_batches, string_attributes


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x1f", "\ud800", "\ufffe", "\uffff"])
def test_what_sqs_takes_in_no_attribute_is_replaced(character: str) -> None:
    """The message is sent all the same, and the rest of the text with it."""
    assert string_attributes({"type": f"a{character}b"}) == {"type": {"DataType": "String", "StringValue": "a\ufffdb"}}


@pytest.mark.parametrize("text", ["7", "a\tb\r\nc", "\x7f", "größer", "\ue000", "\ufffd", "😀"])
def test_other_text_stays_as_it_is(text: str) -> None:
    """Line breaks, private and rare characters among it."""
    assert string_attributes({"type": text}) == {"type": {"DataType": "String", "StringValue": text}}


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([], []),
        ([1] * (ENTRIES + 1), [ENTRIES, 1]),
        ([MAX_BATCH_BYTES - 1, 1, 1], [2, 1]),
        ([MAX_BATCH_BYTES + 1, 1], [1, 1]),
    ],
)
def test_a_batch_holds_no_more_than_sqs_takes(sizes: list[int], batches: list[int]) -> None:
    """Ten messages and a mebibyte; one that is too large by itself goes alone, and SQS says what is wrong with it."""
    assert [len(one) for one in in_batches(sizes, lambda size: size)] == batches
