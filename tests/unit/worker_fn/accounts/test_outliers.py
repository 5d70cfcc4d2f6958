from worker_fn.accounts.outliers import FAILURES_IN_A_ROW, MOST_ACCOUNTS, Outliers


def fail(outliers: Outliers, account_id: str | None, times: int, *, from_ms: int = 1_000) -> list[bool]:
    return [outliers.failed(account_id, now_ms=from_ms + number) for number in range(times)]


def test_account_that_fails_while_others_arrive_is_to_blame_itself() -> None:
    """An account's first failures count against the partner, later ones only against the account, while other accounts'
    calls succeed.
    """
    outliers = Outliers()
    assert fail(outliers, "7", FAILURES_IN_A_ROW) == [False] * FAILURES_IN_A_ROW
    outliers.delivered("8", now_ms=1_500)
    assert fail(outliers, "7", 3, from_ms=2_000) == [True] * 3


def test_partner_that_is_down_for_everybody_is_to_blame() -> None:
    """Successes from before an account began to fail do not excuse the partner."""
    outliers = Outliers()
    outliers.delivered("8", now_ms=900)
    assert not any(fail(outliers, "7", 20))
    assert not any(fail(outliers, "8", 20))


def test_account_that_arrives_begins_anew() -> None:
    """One successful call ends the account's failures."""
    outliers = Outliers()
    fail(outliers, "7", 20)
    outliers.delivered("7", now_ms=2_000)
    assert fail(outliers, "7", FAILURES_IN_A_ROW, from_ms=3_000) == [False] * FAILURES_IN_A_ROW


def test_calls_without_an_account_are_the_partners() -> None:
    """Failures of calls without an account count against the partner."""
    outliers = Outliers()
    assert not any(fail(outliers, None, 20))
    outliers.delivered(None, now_ms=2_000)
    assert not any(fail(outliers, None, 20, from_ms=3_000))


def test_accounts_that_are_remembered_are_bounded() -> None:
    """The one that failed longest ago is forgotten first."""
    outliers = Outliers()
    fail(outliers, "7", 20)
    for number in range(MOST_ACCOUNTS):
        outliers.failed(f"a{number}", now_ms=5_000)
    outliers.delivered("8", now_ms=6_000)
    assert fail(outliers, "7", 1, from_ms=7_000) == [False]
