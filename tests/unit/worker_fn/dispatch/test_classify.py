import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker_fn.clients.http import FROZEN, Answer
from worker_fn.dispatch.classify import ABSURD_RETRY_AFTER_S, NO_END_S, Outcome, Verdict, classify, retry_after_s

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
    """A delivery without an answer is tried again."""
    assert classify(Answer(fault=fault), now_s=NOW_S) == Outcome(Verdict.RETRY, error=fault)


def test_absurd_retry_after_is_nobodys_wish() -> None:
    """A Retry-After of years neither stops the fleet nor hides the message until it is too old."""
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
        ("1.5", 2),
        ("299.997", 300),
        ("299.", 299),
        (".5", None),
        ("+5", 5),
        ("1e3", None),
        ("0x10", None),
        ("1_000", None),
        ("5 s", None),
        ("120, 60", 120),
        ("60,120.5", 121),
        ("60, soon", None),
        (",", None),
        ("٣", None),
        ("١٢٠", None),
        ("5\0", None),
        ("nan", None),
        ("inf", None),
        ("9" * 400, NO_END_S),
        ("9" * 400 + ".5", NO_END_S),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 10000 00:00:00 GMT", None),
        ("Mon, 01 Jan 0000 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 251_702_300_799),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        ("Tue, 14 Nov 2023 22:13:50", 30),
        ("Tue, 99 Nov 2023 22:13:50 GMT", None),
        ("Tue, 14 Nov 2023 22:13:50 +999999999", None),
        ("Tue, 14 Nov 2023 22:13:50 GMT, Tue, 14 Nov 2023 22:13:50 GMT", 30),
    ],
)
def test_retry_after_in_all_its_spellings(header: str | None, seconds: float | None) -> None:
    """Seconds, a date in the future or the past, or nothing that can be used."""
    assert retry_after_s(header, now_s=NOW_S) == seconds


@given(st.text() | st.from_regex(r"\A[-+0-9., ]*\Z") | st.from_regex(r"\A\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [-+]?\w+\Z"))
def test_no_retry_after_is_an_error(header: str) -> None:
    """Any Retry-After gives a time that is not negative, or none; over a week counts as none."""
    seconds = retry_after_s(header, now_s=NOW_S)
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))
    asked_s = classify(Answer(503, header), now_s=NOW_S).retry_after_s
    assert asked_s is None or asked_s <= ABSURD_RETRY_AFTER_S


def test_a_call_that_was_frozen_is_no_attempt() -> None:
    """A frozen call is sent again, and counts as nothing, because nobody read the partner's answer."""
    outcome = classify(Answer(fault=FROZEN), now_s=NOW_S)
    assert (outcome.verdict, outcome.is_about_the_call) == (Verdict.RETRY, False)
    assert classify(Answer(fault="timeout"), now_s=NOW_S).is_about_the_call
