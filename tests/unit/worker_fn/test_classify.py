import pytest

from worker_fn.classify import Outcome, Verdict, classify, retry_after_s
from worker_fn.http_client import Answer

NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status_has_one_verdict(status: int) -> None:
    """2xx is delivered, 408/425/429 and 5xx wait, 401/403 concern the account, all else is refused for good."""
    verdict = classify(Answer(status), now_s=NOW_S).verdict
    if 200 <= status < 300:
        assert verdict is Verdict.DELIVERED
    elif status in (408, 425, 429) or status >= 500:
        assert verdict is Verdict.RETRY
    elif status in (401, 403):
        assert verdict is Verdict.UNAUTHORIZED
    else:
        assert verdict is Verdict.REJECTED


@pytest.mark.parametrize("fault", ["timeout", "connection"])
def test_no_answer_waits(fault: str) -> None:
    """A partner that did not answer is asked again."""
    assert classify(Answer(fault=fault), now_s=NOW_S) == Outcome(Verdict.RETRY, error=fault)


def test_absurd_retry_after_is_nobodys_wish() -> None:
    """A Retry-After of years neither cools the fleet nor hides the message until it is too old."""
    assert classify(Answer(503, "9000000000"), now_s=NOW_S).retry_after_s is None


def test_retry_after_is_read_from_throttles_and_faults() -> None:
    """A 429 and a 503 may say when to come back; a refusal may not."""
    assert classify(Answer(429, "7"), now_s=NOW_S).retry_after_s == 7
    assert classify(Answer(503, "Tue, 14 Nov 2023 22:14:20 GMT"), now_s=NOW_S).retry_after_s == 60
    assert classify(Answer(400, "7"), now_s=NOW_S).retry_after_s is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0),
        (" 120 ", 120),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30),
        ("Tuesday, 14-Nov-23 22:13:50 GMT", 30),
        ("Tue, 14 Nov 2023 20:00:00 GMT", 0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1.5", None),
        ("٣", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_in_all_its_spellings(header: str | None, seconds: float | None) -> None:
    """Seconds, a date in the future or the past, or nothing that can be used."""
    assert retry_after_s(header, now_s=NOW_S) == seconds
