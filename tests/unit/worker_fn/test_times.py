"""Numbers that have to fit together, among themselves and with what is deployed."""

import re
from pathlib import Path

from worker_fn.batch import disposition
from worker_fn.limits import agreement, breaker, fallback, known_item
from worker_fn.limits.agreement import RETURN_MS, SILENCE_MS, TICK_MS
from worker_fn.limits.windows import LEASE_AHEAD_MS, WINDOW_MS
from worker_fn.maintenance import unpark
from worker_fn.settings import Settings

INFRA = Path(__file__).parents[3] / "infra"


def test_the_tick_comes_as_often_as_the_worker_believes() -> None:
    """The tick's interval in the code is that of infra/tick.yml."""
    assert "ScheduleExpression: rate(1 minute)" in (INFRA / "tick.yml").read_text(encoding="utf-8")
    assert TICK_MS == 60_000


def test_each_tick_finds_what_it_is_for() -> None:
    """At each tick a probe can be due, parked messages are visible again, and the last tick's sign of life is still
    recent.
    """
    assert breaker.LONGEST_PAUSE_MS < TICK_MS
    assert unpark.SIGHT_S * 1_000 < TICK_MS
    assert TICK_MS < SILENCE_MS
    assert agreement.LONGEST_FOR_ALL_S * 1_000 <= TICK_MS


def test_nobody_calls_at_its_share_before_the_others_can_see_the_silence() -> None:
    """No worker calls at its share before the others can see the silence or while a lease may be used, and all have
    noticed the table before shares end.
    """
    assert fallback.LOST_MS >= SILENCE_MS
    assert fallback.LOST_MS > LEASE_AHEAD_MS
    assert RETURN_MS > known_item.LONGEST_SILENT_MS + 2 * WINDOW_MS


def test_the_worker_gives_a_message_up_before_its_queue_does() -> None:
    """A message's receives last for its age, because SQS itself would dead-letter it without a reason."""
    (most,) = re.findall(r"maxReceiveCount: (\d+)", (INFRA / "queues.yml").read_text(encoding="utf-8"))
    assert int(most) > disposition.MOST_RECEIVES


def test_a_probe_outlives_no_lease_of_it() -> None:
    """A probe's lease lasts for the longest call, so nobody else probes meanwhile."""
    for call_timeout_s in (0.2, 13.0, 360.0):
        assert breaker.probe_lease_ms(call_timeout_s) > 1_000 * (call_timeout_s + Settings.beginning_s)
