import pytest

from worker_fn.limits import agreement as agreed
from worker_fn.limits.adaptive import Bounds, Limit
from worker_fn.limits.agreement import RETURN_MS, SILENCE_MS, alive, is_silent
from worker_fn.limits.flow import DELIVERED, Flow
from worker_fn.limits.windows import WINDOW_MS

NOW = 1_790_000_000_000
DECLARED = Bounds(highest=50.0)
AT_50 = Limit(per_second=50.0, held=50.0, since_ms=NOW)


@pytest.mark.parametrize("ahead_ms", [0, 1, 400, 999])
def test_time_of_shares_ends_with_a_second(ahead_ms: int) -> None:
    """Whoever is the first to reach the table after a silence, common seconds begin with a whole one: a worker has its
    share of one at once. What was delivered meanwhile does not hide the silence.
    """
    now_ms = NOW + SILENCE_MS + 1 + ahead_ms
    flow = agreed.fold(Flow(limit=AT_50, alive_ms=NOW, counts={DELIVERED: 1}), DECLARED, now_ms=now_ms)
    assert is_silent(flow, now_ms=now_ms)
    after = alive(flow, now_ms=now_ms)
    assert after.share_until_ms % WINDOW_MS == 0
    assert now_ms + RETURN_MS <= after.share_until_ms < now_ms + RETURN_MS + WINDOW_MS
    assert not is_silent(after, now_ms=after.share_until_ms)


@pytest.mark.parametrize("idle_s", [1, 75, 600, 86_400])
def test_idleness_is_not_silence(idle_s: int) -> None:
    """While a tick leaves a sign of life each minute, a worker that was idle for any time leases at once."""
    partner = Flow(alive_ms=NOW)
    for second in range(60, idle_s + 60, 60):
        partner = alive(partner, now_ms=NOW + 1_000 * min(second, idle_s))
    now_ms = NOW + 1_000 * idle_s
    assert not is_silent(partner, now_ms=now_ms)
