import random
from typing import Any

from partners import Bulk, Limits, Rate
from worker_fn.limits import registry
from worker_fn.limits.registry import Registry, Sessions


def registry_of(fleet: Any, limits: Limits) -> Registry:
    return Registry(fleet.state, limits, share=0.1, call_timeout_s=13.0, now_ms=lambda: 1, rng=random.Random(1))


def test_an_account_has_a_limiter_where_the_partner_limits_it(fleet: Any) -> None:
    """An account has a limiter for its calls, one for each endpoint with a rate of its own, and none if nothing is
    declared.
    """
    limits = registry_of(fleet, Limits(account_rate=Rate(9), bulk={"a": Bulk(2, rate=Rate(3)), "b": Bulk(2)}))
    calls, own, shared = limits.of("7"), limits.of("7", "a"), limits.of("7", "b")
    assert calls is not None
    assert own is not None
    assert (calls.item.limit, own.item.limit, shared) == (9, 3, calls)
    assert limits.of(None) is None
    assert registry_of(fleet, Limits()).of("7") is None


def test_a_batch_has_one_session_for_each_limiter(fleet: Any) -> None:
    """A batch's calls wait in one session of a limiter, those of the next batch in another."""
    limits = registry_of(fleet, Limits(account_rate=Rate(9)))
    batch, following = Sessions(limits), Sessions(limits)
    assert batch.of("7") is batch.of("7")
    assert batch.of("7") is not batch.of("8")
    assert batch.of("7") is not following.of("7")
    assert batch.partner is not following.partner


def test_the_account_that_was_not_used_for_longest_goes_first(fleet: Any, monkeypatch: Any) -> None:
    """The number of remembered accounts is bounded: the one unused for longest is forgotten first."""
    monkeypatch.setattr(registry, "MOST_ACCOUNTS", 2)
    limits = registry_of(fleet, Limits(account_rate=Rate(9)))
    seven, eight = limits.of("7"), limits.of("8")
    limits.of("7")
    limits.of("9")
    assert limits.of("7") is seven
    assert limits.of("8") is not eight
