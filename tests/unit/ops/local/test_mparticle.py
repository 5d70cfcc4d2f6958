import itertools

import pytest

from ops.local.mparticle import arrivals


def test_arrivals_are_calm_then_a_spike_then_calm() -> None:
    """Requests come evenly at the calm rate, at the spike's in the middle, and at the calm rate again."""
    due_s = arrivals(100, calm_rps=10, spike_rps=100, calm_share=0.1)
    gaps = [after - before for before, after in itertools.pairwise(due_s)]
    assert gaps == pytest.approx([0.1] * 10 + [0.01] * 80 + [0.1] * 9)


def test_every_request_has_its_time() -> None:
    """As many times as requests, the first at once, none before the one ahead of it."""
    due_s = arrivals(7, calm_rps=1, spike_rps=2)
    assert len(due_s) == 7
    assert due_s[0] == 0
    assert due_s == sorted(due_s)


def test_no_requests_have_no_times() -> None:
    """Nothing to send is no error."""
    assert arrivals(0, calm_rps=1, spike_rps=2) == []
