from dataclasses import replace

import pytest

from worker_fn.limits import agreement as flows
from worker_fn.limits.adaptive import Bounds
from worker_fn.limits.agreement import Ask, AtShare, Flow, Leased, Tally, Wait
from worker_fn.limits.breaker import Breaker
from worker_fn.limits.windows import WINDOW_MS

NOW = 1_790_000_000_000


def test_report_before_any_lease_leaves_the_declared_rate_in_force() -> None:
    """A declared rate is known from the first write on, whichever write that is."""
    bounds = Bounds(highest=5.0)
    told = flows.report(Flow(), Tally(refused=1), bounds, now_ms=NOW)
    _, permit = flows.lease(told, Ask(now_ms=NOW, until_ms=NOW + 3_000, wanted=60, most_a_window=60), bounds)
    assert isinstance(permit, Leased)
    assert sum(map(len, permit.tokens.values())) <= 15


def test_messages_are_booked_by_the_call_that_takes_them() -> None:
    """Where a call takes ten messages, ten have the time of one; no more may wait than of single calls."""
    bounds = Bounds(highest=2.0)
    _, times_ms = flows.book(Flow(), bounds, count=30, per_call=10, now_ms=NOW)
    assert [time_ms - NOW for time_ms in times_ms[9::10]] == [500, 1_000, 1_500]
    _, times_ms = flows.book(Flow(), bounds, count=5_000, per_call=100, now_ms=NOW)
    assert len(times_ms) == flows.MOST_IN_LINE


def leased_at(now_ms: int, flow: Flow, bounds: Bounds, **known: int) -> tuple[Flow, object]:
    ask = Ask(now_ms=now_ms, until_ms=now_ms + 3_000, wanted=1, most_a_window=1, **known)
    return flows.lease(flow, ask, bounds)


@pytest.mark.parametrize("ahead_ms", [0, 1, 400, 999])
@pytest.mark.parametrize("first", ["lease", "tick", "report"])
def test_time_of_shares_ends_with_a_window(ahead_ms: int, first: str) -> None:
    """Whoever is the first to reach the table after a silence, the common books begin with a whole window: a worker has
    its share of one at once. What was delivered meanwhile does not hide the silence.
    """
    bounds, now_ms = Bounds(highest=5.0), NOW + flows.SILENCE_MS + ahead_ms
    after, _ = leased_at(NOW - 1, Flow(), bounds)
    if first == "tick":
        after = flows.alive(after, now_ms=now_ms)
    elif first == "report":
        after = flows.report(after, Tally(delivered=1), bounds, now_ms=now_ms)
    after, permit = leased_at(now_ms, after, bounds)
    assert permit == AtShare(5.0)
    assert after.share_until_ms % WINDOW_MS == 0
    assert now_ms + flows.RETURN_MS <= after.share_until_ms < now_ms + flows.RETURN_MS + WINDOW_MS
    assert isinstance(leased_at(after.share_until_ms, after, bounds)[1], Leased)


@pytest.mark.parametrize("idle_s", [1, 75, 600, 86_400])
def test_idleness_is_not_silence(idle_s: int) -> None:
    """While a tick leaves a sign of life each minute, somebody who comes after whatever time leases at once; of an
    account, too, whose own item nobody wrote to.
    """
    bounds = Bounds(highest=5.0)
    partner, _ = leased_at(NOW, Flow(), bounds)
    account = partner
    for second in range(60, idle_s + 60, 60):
        partner = flows.alive(partner, now_ms=NOW + 1_000 * min(second, idle_s))
    now_ms = NOW + 1_000 * idle_s
    assert isinstance(leased_at(now_ms, partner, bounds)[1], Leased)
    assert isinstance(leased_at(now_ms, account, bounds, alive_ms=partner.alive_ms)[1], Leased)


def test_an_account_keeps_to_its_share_when_all_do() -> None:
    """The table was lost for its item as for the partner's, and somebody may still call at its share."""
    bounds = Bounds(highest=5.0)
    account, _ = leased_at(NOW, Flow(), bounds)
    now_ms = NOW + 200_000
    told = {"alive_ms": now_ms - 1_000, "share_until_ms": now_ms + 9_000}
    after, permit = leased_at(now_ms, account, bounds, **told)
    assert (permit, after.share_until_ms) == (AtShare(5.0), now_ms + 9_000)


def test_an_account_that_was_written_meanwhile_is_nobodys_share() -> None:
    """A tick that comes late, a minute after the table, finds the partner's item silent. What was leased from the
    account's since then is in use: shares beside it would be more than the rate.
    """
    bounds = Bounds(highest=5.0)
    account, _ = leased_at(NOW, Flow(), bounds)
    now_ms = NOW + 30_000
    told = {"alive_ms": now_ms - 1_000, "share_until_ms": now_ms + 9_000}
    after, permit = leased_at(now_ms, account, bounds, **told)
    assert isinstance(permit, Leased)
    assert after.share_until_ms == 0


@pytest.mark.parametrize("blocked", ["breaker", "cool-down"])
def test_a_silence_is_seen_also_while_nobody_may_call(blocked: str) -> None:
    """The first to ask after it is told to wait: those behind keep to their shares all the same."""
    bounds, now_ms = Bounds(highest=5.0), NOW + flows.SILENCE_MS + 1
    flow, _ = leased_at(NOW, Flow(), bounds)
    if blocked == "breaker":
        flow = replace(flow, breaker=Breaker(opened_ms=NOW, probe_at_ms=now_ms + 50))
    else:
        flow = replace(flow, cool_until_ms=now_ms + 50)
    after, permit = leased_at(now_ms, flow, bounds)
    assert isinstance(permit, Wait)
    assert after.share_until_ms > now_ms
