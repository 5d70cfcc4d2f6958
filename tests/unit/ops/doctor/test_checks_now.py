"""What hurts now: each condition alone is found, says what to do, and is an error only where the stage is to blame."""

from dataclasses import replace
from typing import Any

import pytest

from ops.console.findings import Finding, Severity
from ops.doctor.checks_now import FIRST_TICK_MS, MOST_NAMED, TICKS_MISSED_MS, hurts, paused
from ops.doctor.look_now import Now
from ops.operate.pause import Pause
from ops.operate.suspensions import Suspended
from worker_fn.limits.adaptive import PUSHED_BACK, Cap, Limit
from worker_fn.limits.breaker import Breaker, opened_by_hand
from worker_fn.limits.flow import Flow

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
BY_HAND = opened_by_hand(now_ms=NOW_MS, until_ms=NOW_MS + HOUR_MS)
WELL = Now(
    now_ms=NOW_MS,
    flow=Flow(limit=Limit(per_second=50.0, since_ms=NOW_MS - 1_000, why="steady", delivered=90)),
    account_flows={"7": Flow(limit=Limit(per_second=5.0, since_ms=NOW_MS - 1_000))},
    swept_ms=NOW_MS - 500_000,
    changed_ms=NOW_MS - HOUR_MS,
    oldest_s=2.0,
    errors={"ingest": 0, "worker": 0},
)
SUSPENDED = Suspended("7", 401, NOW_MS - HOUR_MS, NOW_MS + 60_000)


def found(now: Now, **env: str) -> list[Finding]:
    return list(hurts(now, stage="dev", name="spillway-dev", env=env))


def flow(**changed: Any) -> Now:
    return replace(WELL, flow=replace(WELL.flow or Flow(), **changed))


def limited(**changed: Any) -> Now:
    return flow(limit=replace(Limit(per_second=20.0, since_ms=NOW_MS - 5_000), **changed))


def test_nothing_hurts_where_all_is_well() -> None:
    """Deliveries, a limit that is not reached, ticks that come."""
    assert found(WELL) == []
    assert found(Now(NOW_MS)) == []


@pytest.mark.parametrize(
    ("now", "expected", "severity"),
    [
        (replace(WELL, swept_ms=NOW_MS - TICKS_MISSED_MS - 1), "tick.not-running", Severity.ERROR),
        (replace(WELL, swept_ms=None, ticked=False), "tick.not-running", Severity.ERROR),
        (replace(WELL, errors={"worker": 3}), "worker.failing", Severity.ERROR),
        (replace(WELL, errors={"ingest": 1}), "ingest.failing", Severity.WARNING),
        (replace(WELL, url_errors=1), "url.failing", Severity.WARNING),
        (flow(breaker=Breaker(opened_ms=NOW_MS - HOUR_MS)), "partner.down", Severity.WARNING),
        (flow(breaker=BY_HAND), "partner.stopped-by-hand", Severity.WARNING),
        (flow(breaker=replace(BY_HAND, by_hand_until_ms=NOW_MS)), "partner.down", Severity.WARNING),
        (flow(cap=Cap(30.0, NOW_MS + 1)), "partner.limited-by-hand", Severity.WARNING),
        (flow(cool_until_ms=NOW_MS + 5_000), "partner.cool-down", Severity.WARNING),
        (limited(why=PUSHED_BACK), "partner.pushes-back", Severity.WARNING),
        (limited(pushed_back=4), "partner.pushes-back", Severity.WARNING),
        (limited(rest_until_ms=NOW_MS + 9_000, why="holding"), "partner.pushes-back", Severity.WARNING),
        (
            replace(WELL, account_flows={"7#bulk": Flow(cool_until_ms=NOW_MS + 9_000)}),
            "accounts.pushed-back",
            Severity.WARNING,
        ),
        (replace(WELL, suspended=[SUSPENDED]), "account.suspended", Severity.WARNING),
        (
            replace(WELL, suspended=[replace(SUSPENDED, gives_up_at_ms=NOW_MS + HOUR_MS // 2)]),
            "account.suspended",
            Severity.WARNING,
        ),
        (replace(WELL, oldest_s=1_000.0), "queue.old", Severity.WARNING),
        (replace(WELL, oldest_s=40 * 3_600.0), "queue.old", Severity.ERROR),
    ],
)
def test_one_thing_that_hurts_is_one_finding(now: Now, expected: str, severity: Severity) -> None:
    """It is named, and says what to do."""
    (finding,) = found(now)
    assert (finding.id, finding.severity) == (expected, severity)
    assert finding.mend


@pytest.mark.parametrize(
    "now",
    [
        limited(why=PUSHED_BACK, since_ms=NOW_MS - HOUR_MS),  # and nobody has called since
        flow(cool_until_ms=NOW_MS - 1),
        replace(WELL, swept_ms=None, ticked=False, changed_ms=NOW_MS - FIRST_TICK_MS),  # deployed a moment ago
        replace(WELL, swept_ms=None, ticked=True),
    ],
)
def test_what_is_over_or_not_yet_due_hurts_nobody(now: Now) -> None:
    """Nothing is said of it."""
    assert found(now) == []


def test_an_age_is_judged_by_the_longest_that_is_set() -> None:
    """A stage that gives messages up after an hour is late after half of it."""
    (finding,) = found(replace(WELL, oldest_s=2_000.0), MAX_AGE_S="3600")
    assert finding.severity is Severity.ERROR


@pytest.mark.parametrize("text", ["3d", "", " ", "1e9", "٣"])
def test_an_age_that_is_no_number_is_the_default(text: str) -> None:
    """What the worker refuses is another finding, and no end of the round."""
    (finding,) = found(replace(WELL, oldest_s=2_000.0), MAX_AGE_S=text)
    assert finding.severity is Severity.WARNING


def test_many_suspended_accounts_are_a_few_lines() -> None:
    """The first are named, the others counted."""
    many = [replace(SUSPENDED, account_id=str(number)) for number in range(270)]
    findings = found(replace(WELL, suspended=many))
    assert len(findings) == MOST_NAMED + 1
    assert "265 more accounts" in findings[-1].message


def test_a_suspension_tells_the_verb_and_no_credential() -> None:
    """Whose, since when, how many, and what to run."""
    (finding,) = found(replace(WELL, suspended=[replace(SUSPENDED, credentials=2)]))
    assert "Account 7: 2 of its credentials are refused (HTTP 401) since 2023-11-14 21:13 UTC" in finding.message
    assert "spillway suspensions clear 7 --wait --stage dev" in finding.mend


@pytest.mark.parametrize(
    ("now", "is_enabled", "said"),
    [
        (replace(WELL, pause=Pause("moving", NOW_MS - HOUR_MS)), False, "moving (an operator)"),
        (replace(WELL, pause=Pause("moving", NOW_MS - HOUR_MS, "user/alice")), False, "moving (user/alice)"),
        (replace(WELL, pause=Pause("moving", NOW_MS - HOUR_MS)), True, "the worker sends nothing all the same"),
        (flow(breaker=Breaker(opened_ms=NOW_MS - HOUR_MS)), False, "the partner is taken for down since"),
        (flow(breaker=BY_HAND), False, "an operator opened the breaker, until 2023-11-14 23:13 UTC"),
        (flow(cool_until_ms=NOW_MS + HOUR_MS), False, "the partner asked for a pause that ends in 60 min"),
        (WELL, False, "nothing asks for it any more"),
        (None, False, "why is not known here"),
    ],
)
def test_a_pause_says_whose_it_is(now: Now | None, is_enabled: bool, said: str) -> None:
    """An operator's, the partner's, or nobody's any more."""
    (finding,) = paused(now, stage="dev", is_enabled=is_enabled)
    assert (finding.id, finding.severity) == ("mapping.paused", Severity.WARNING)
    assert said in finding.message
    assert list(paused(WELL, stage="dev", is_enabled=True)) == []
