"""Credentials that are refused: for the whole account, or only for one message."""

from worker_fn.accounts.auth_failures import REFUSALS_IN_A_ROW, AuthFailures, Credential

SEVEN, EIGHT = Credential("7", "f"), Credential("8", "f")


def test_a_few_refusals_in_a_row_end_a_credential_s_calls() -> None:
    """One refusal stops nothing; several in a row stop the calls of this credential, and of no other account or
    credential.
    """
    failures = AuthFailures()
    for number in range(REFUSALS_IN_A_ROW):
        assert not failures.is_refused(SEVEN)
        failures.note_refused(SEVEN, [f"k{number}"], now_ms=1_000 + number)
    assert failures.is_refused(SEVEN)
    assert not failures.is_refused(EIGHT)
    assert not failures.is_refused(Credential("7", "another"))
    assert not failures.is_refused(None)


def test_only_a_call_that_was_begun_after_a_refusal_speaks_for_the_credentials() -> None:
    """A call that was under way when the key was revoked is accepted, and proves nothing."""
    failures = AuthFailures()
    failures.note_refused(SEVEN, ["k"], now_ms=1_000)
    failures.note_taken(SEVEN, begun_ms=900)
    assert not failures.taken_since(SEVEN, "k")
    failures.note_taken(SEVEN, begun_ms=1_100)
    assert failures.taken_since(SEVEN, "k")
    failures.note_refused(SEVEN, ["later"], now_ms=1_200)
    assert not failures.taken_since(SEVEN, "later")


def test_a_refused_bulk_call_counts_when_the_culprit_is_alone() -> None:
    """The halves of a bulk call are refused one after the other for the same item."""
    failures = AuthFailures()
    for number in range(9):
        failures.note_refused(SEVEN, ["a", "b"], now_ms=1_000 + number)
    assert not failures.is_refused(SEVEN)
