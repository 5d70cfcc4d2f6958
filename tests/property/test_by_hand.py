"""What operators set, in any order and amid any traffic: calls never go above it, and there is no burst after it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shared.state import Item
from worker_fn.limits import agreement as agreed
from worker_fn.limits.adaptive import UP_FAST, Bounds
from worker_fn.limits.flow import Flow, Tally

START_MS = 1_790_000_000_000
HIGHEST_FIRST_STEP = 1.0
"""A limit below one call a second may rise by a whole one."""

acts = st.one_of(
    st.tuples(st.just("set"), st.floats(0.5, 100), st.integers(1, 60)),
    st.tuples(st.sampled_from(["clear", "open", "close"]), st.just(0.0), st.integers(0, 20)),
    st.tuples(st.just("calls"), st.floats(0, 1), st.integers(0, 30)),
)


@given(st.lists(acts, min_size=1, max_size=25), st.sampled_from([100.0, None]))
def test_never_above_what_an_operator_set_and_no_burst_after_it(
    night: list[tuple[str, float, int]], declared: float | None
) -> None:
    """However the limit was before, whatever calls come to, and after each write and read of the item."""
    bounds, flow, now_ms = Bounds(declared), Flow(), START_MS
    set_to, until_ms = None, 0
    for kind, number, seconds in night:
        before, ends_ms = flow.rate(bounds), now_ms + 1_000 * seconds
        match kind:
            case "set":
                flow = agreed.set_limit(flow, bounds, number, until_ms=ends_ms, now_ms=now_ms)
                set_to, until_ms = number, ends_ms
            case "clear":
                flow, until_ms = agreed.clear_limit(flow, now_ms=now_ms), 0
            case "open":
                flow = agreed.open_breaker(flow, until_ms=ends_ms, now_ms=now_ms)
            case "close":
                flow = agreed.close_breaker(flow, until_ms=ends_ms, now_ms=now_ms)
        if kind in {"set", "clear"} and before is not None:
            assert (flow.rate(bounds) or 0.0) <= before
        for _ in range(seconds if kind == "calls" else 1):
            now_ms += 1_000
            before = flow.rate(bounds)
            used = round(before if before is not None else 80)
            tally = Tally(delivered=round(used * number), refused=used - round(used * number))
            flow = flow.added(tally.counts(flow))
            flow = replace(flow, limit=replace(flow.limit, reached=True))
            flow = Flow.of(agreed.fold(flow, bounds, now_ms=now_ms).written_to(Item()))
            rate = flow.rate(bounds)
            if set_to is not None and now_ms < until_ms:
                assert rate is not None
                assert rate <= set_to
            if set_to is not None and rate is not None and before is not None:
                assert rate <= max(before * UP_FAST, before + HIGHEST_FIRST_STEP)
            if declared is not None:
                assert rate is not None
                assert rate <= declared
