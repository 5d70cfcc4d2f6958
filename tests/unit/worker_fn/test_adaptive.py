from dataclasses import replace

from worker_fn.adaptive import DOWN, STEP_MS, Bounds, Limit, restart, start, step

NOW = 1_700_000_000_000
BOUNDS = Bounds(highest=100.0, lowest=1.0)


def after(limit: Limit, seconds: float = STEP_MS / 1_000, bounds: Bounds = BOUNDS) -> Limit:
    return step(limit, bounds, now_ms=limit.since_ms + int(seconds * 1_000))


def test_push_back_takes_a_tenth() -> None:
    """429s and time-outs in a window lower the limit to nine tenths, and say why."""
    limit = after(replace(start(BOUNDS, NOW), delivered=90, pushed_back=10))
    assert (limit.per_second, limit.why) == (100 * DOWN, "pushed back")


def test_few_push_backs_show_where_the_limit_is() -> None:
    """One call in fifty refused: two seconds at nine tenths, then half a minute just below, then a little more."""
    few = after(replace(start(BOUNDS, NOW), delivered=98, pushed_back=2))
    assert few.per_second == 90.0
    held = after(replace(few, reached=True))
    assert (held.per_second, held.why) == (97.0, "recovering")
    rests = after(replace(held, reached=True))
    assert (rests.per_second, rests.why) == (97.0, "holding")
    tries = after(replace(rests, reached=True), seconds=30)
    assert (tries.per_second, tries.why) == (98.94, "reached")


def test_many_push_backs_say_that_it_is_lower() -> None:
    """One call in ten refused: what holds is looked for from nine tenths on."""
    many = after(replace(start(BOUNDS, NOW), delivered=90, pushed_back=10))
    assert many.held == 90.0


def test_limit_moves_once_a_window() -> None:
    """However often it is asked, a window moves the limit once."""
    pushed = replace(start(BOUNDS, NOW), pushed_back=10)
    assert step(pushed, BOUNDS, now_ms=NOW + STEP_MS - 1) == pushed
    moved = after(pushed)
    assert step(moved, BOUNDS, now_ms=moved.since_ms + 1) == moved


def test_limit_grows_only_when_it_was_reached() -> None:
    """A limit that nobody needs stays as it is."""
    held = Limit(per_second=50.0, held=50.0, since_ms=NOW)
    assert after(held).per_second == 50.0
    assert after(replace(held, reached=True)).per_second == 51.0


def test_limit_stays_within_its_bounds() -> None:
    """Never above what the partner declared, never below one call a second."""
    assert after(Limit(99.9, held=99.9, since_ms=NOW, reached=True)).per_second == 100.0
    assert after(Limit(1.05, held=1.05, since_ms=NOW, pushed_back=1)).per_second == 1.0


def test_slow_partner_may_be_limited_below_one_call_a_second() -> None:
    """A partner that declares six calls a minute is never given more."""
    bounds = Bounds(highest=0.1, lowest=1.0)
    assert after(Limit(0.1, held=0.1, since_ms=NOW, pushed_back=1), bounds=bounds).per_second == 0.1


def test_recovery_is_quick_up_to_what_held() -> None:
    """After an outage the limit begins low and is back within a few windows, then grows carefully."""
    limit, moves = restart(Limit(90.0, held=90.0, since_ms=NOW), BOUNDS, now_ms=NOW), []
    assert limit.per_second == 27.0
    while limit.per_second and limit.per_second < 90.0:
        limit = after(replace(limit, reached=True))
        moves.append(limit.why)
    assert len(moves) == 3
    assert set(moves) == {"recovering"}
    assert after(replace(limit, reached=True)).per_second == 91.8


def test_unknown_limit_is_learnt_from_the_first_push_back() -> None:
    """Where nothing is declared, the first 429s show what the partner takes: nine tenths of what went through."""
    unknown = Limit(since_ms=NOW, delivered=100, pushed_back=20)
    assert after(unknown, bounds=Bounds()).per_second == DOWN * 100 / 2
    assert after(replace(unknown, pushed_back=0), bounds=Bounds()).per_second is None
