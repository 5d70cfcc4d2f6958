"""Attributes as SQS takes them."""

import pytest

from shared.queue.attributes import string_attributes


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x1f", "\ud800", "\ufffe", "\uffff"])
def test_what_sqs_takes_in_no_attribute_is_replaced(character: str) -> None:
    """The message is sent all the same, and the rest of the text with it."""
    assert string_attributes({"type": f"a{character}b"}) == {"type": {"DataType": "String", "StringValue": "a\ufffdb"}}


@pytest.mark.parametrize("text", ["7", "a\tb\r\nc", "\x7f", "größer", "\ue000", "\ufffd", "😀"])
def test_other_text_stays_as_it_is(text: str) -> None:
    """Line breaks, private and rare characters among it."""
    assert string_attributes({"type": text}) == {"type": {"DataType": "String", "StringValue": text}}
