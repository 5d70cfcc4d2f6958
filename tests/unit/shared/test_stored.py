import json

import pytest

from shared.errors import InvalidSettings
from shared.stored import (
    ASK_STORE_AGAIN_S,
    FRESH_S,
    Reference,
    Stored,
    Unreadable,
    reference_of,
    references,
    request_for,
    text_in,
)

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme/headers-AbCdEf"
SSM, SECRET = Reference("ssm", "/acme/headers"), Reference("secretsmanager", ARN)


class Store:
    """A store with one text, or trouble."""

    def __init__(self, text: str) -> None:
        self.text, self.trouble, self.reads, self.now_s = text, "", 0, 0.0

    def read(self, _: Reference) -> str:
        self.reads += 1
        if self.trouble:
            raise Unreadable(self.trouble)
        return self.text


def test_a_reference_says_where() -> None:
    """A parameter of SSM or the ARN of a secret."""
    assert reference_of("ssm:/acme/headers") == SSM
    assert reference_of(f"secretsmanager:{ARN}") == SECRET


@pytest.mark.parametrize(
    "text",
    ["", "canary", "ssm:", "ssm:acme", "ssm:/a b", "ssm:/a\n", " ssm:/a", "SSM:/a", "secretsmanager:acme", "vault:/a",
     "secretsmanager:arn:aws:s3:::x", '{"X": "canary"}'],
)  # fmt: skip
def test_anything_else_is_none(text: str) -> None:
    """In place of a reference most likely the secret itself: the variable is named, the text is not shown."""
    assert reference_of(text) is None
    if text:
        with pytest.raises(InvalidSettings, match="ACME_SECRET_HEADERS must say where") as raised:
            references({"ACME_SECRET_HEADERS": text})
        assert "canary" not in str(raised.value)


def test_references_are_found_by_the_variables_name() -> None:
    """Other variables, and those that are not set, hold none."""
    env = {"ACME_SECRET_HEADERS": "ssm:/acme/headers", "ACME_URL": "ssm:/no", "X_SECRET_HEADERS": ""}
    assert references(env) == {"ACME_SECRET_HEADERS": SSM}


@pytest.mark.parametrize(
    ("reference", "answer"), [(SSM, {"Parameter": {"Value": "text"}}), (SECRET, {"SecretString": "text"})]
)
def test_both_services_are_asked_in_their_own_words(reference: Reference, answer: object) -> None:
    """The text is found in the answer; without one there is none."""
    target, body = request_for(reference)
    assert reference.name in json.loads(body).values()
    assert target.startswith(("AmazonSSM.", "secretsmanager."))
    assert text_in(reference, json.dumps(answer).encode()) == "text"
    for odd in (b"", b"[]", b"{}", b"5", b'{"Parameter":5}', b'{"SecretString":5}', b'{"SecretBinary":"AA=="}'):
        assert text_in(reference, odd) is None


def test_a_text_is_read_once_and_again_after_some_minutes() -> None:
    """What was changed in the store needs no deploy; what was not changed compares equal."""
    store = Store("one")
    stored = Stored({"ACME_SECRET_HEADERS": SSM}, store.read, clock=lambda: store.now_s)
    first = stored.texts()
    assert (first, stored.texts(), store.reads) == ((("ACME_SECRET_HEADERS", "one"),), first, 1)
    store.now_s, store.text = FRESH_S, "two"
    assert stored.texts() == (("ACME_SECRET_HEADERS", "two"),)
    assert store.reads == 2


def test_without_a_text_nothing_starts_and_the_reason_is_named() -> None:
    """The variable, the place and the store's word for it; the next try asks again."""
    store = Store("one")
    store.trouble = "ParameterNotFound"
    stored = Stored({"ACME_SECRET_HEADERS": SSM}, store.read, clock=lambda: store.now_s)
    with pytest.raises(InvalidSettings, match=r"^ACME_SECRET_HEADERS: ssm .*/acme/headers: ParameterNotFound$"):
        stored.texts()
    store.trouble = ""
    assert stored.texts()


def test_a_store_that_fails_later_changes_nothing() -> None:
    """The known text goes on, the trouble is told, and the store is left alone for a while."""
    store, told = Store("one"), list[str]()
    stored = Stored({"ACME_SECRET_HEADERS": SSM}, store.read, told.append, lambda: store.now_s)
    known = stored.texts()
    store.now_s, store.trouble = FRESH_S, "ThrottlingException"
    assert stored.texts() == stored.texts() == known
    assert (len(told), store.reads) == (1, 2)
    store.now_s += ASK_STORE_AGAIN_S
    assert stored.texts() == known
    assert store.reads == 3


def test_a_text_is_not_shown() -> None:
    """Whoever prints the object sees where it is kept."""
    stored = Stored({"ACME_SECRET_HEADERS": SSM}, Store("canary").read)
    stored.texts()
    assert "canary" not in repr(stored)
