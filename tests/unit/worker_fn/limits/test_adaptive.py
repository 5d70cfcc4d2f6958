from dataclasses import replace

import pytest

from worker_fn.limits.adaptive import (
    DOUBTED_MS,
    DOWN,
    LOOSE,
    QUICK_STEP_MS,
    STEP_MS,
    Bounds,
    Limit,
    add,
    restart,
    start,
    step,
)

NOW = 1_700_000_000_000
BOUNDS = Bounds(highest=100.0, lowest=1.0)


def after(limit: Limit, seconds: float = STEP_MS / 1_000, bounds: Bounds = BOUNDS) -> Limit:
    return step(limit, bounds, now_ms=limit.since_ms + int(seconds * 1_000))


def test_push_back_takes_a_tenth() -> None:
    """429s and time-outs in a window lower the limit to nine tenths, and say why."""
    limit = after(replace(start(BOUNDS, NOW), delivered=90, pushed_back=10))
    assert (limit.per_second, limit.why) == (100 * DOWN, "pushed back")


def test_few_push_backs_show_where_the_limit_is() -> None:
    """If one call in fifty is refused, the limit is at nine tenths for two seconds, then half a minute just below the
    last one, then a little more.
    """
    few = after(replace(start(BOUNDS, NOW), delivered=98, pushed_back=2))
    assert few.per_second == 90.0
    held = after(replace(few, delivered=90, reached=True))
    assert (held.per_second, held.why) == (97.0, "recovering")
    rests = after(replace(held, delivered=90, reached=True))
    assert (rests.per_second, rests.why) == (97.0, "holding")
    tries = after(replace(rests, delivered=90, reached=True), seconds=30)
    assert (tries.per_second, tries.why) == (98.94, "reached")


def test_many_push_backs_say_that_it_is_lower() -> None:
    """If one call in ten is refused, the limit that holds is searched from nine tenths on."""
    many = after(replace(start(BOUNDS, NOW), delivered=90, pushed_back=10))
    assert many.held == 90.0


def test_limit_moves_once_a_window() -> None:
    """A window moves the limit once, however often it is asked for."""
    pushed = replace(start(BOUNDS, NOW), pushed_back=10)
    assert step(pushed, BOUNDS, now_ms=NOW + STEP_MS - 1) == pushed
    moved = after(pushed)
    assert step(moved, BOUNDS, now_ms=moved.since_ms + 1) == moved


def test_limit_grows_only_when_it_was_reached() -> None:
    """A limit that nobody needs stays as it is."""
    held = Limit(per_second=50.0, held=50.0, since_ms=NOW, delivered=1, pushed_ms=NOW)
    assert after(held).per_second == 50.0
    assert after(replace(held, reached=True)).per_second == 51.0
    assert after(replace(held, delivered=0, reached=True)) == replace(held, delivered=0, reached=True)


def test_limit_stays_within_its_bounds() -> None:
    """Never above what the partner declared, never below one call a second."""
    assert after(Limit(99.9, held=99.9, since_ms=NOW, delivered=1, reached=True)).per_second == 100.0
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
        limit = after(replace(limit, delivered=1, reached=True))
        moves.append(limit.why)
    assert len(moves) == 3
    assert set(moves) == {"recovering"}
    assert after(replace(limit, delivered=1, reached=True)).per_second == 91.8


def test_after_an_outage_the_limit_is_a_part_of_the_highest_that_held() -> None:
    """It may have grown since the partner showed one."""
    assert restart(Limit(120.0, held=100.0, since_ms=NOW), UNKNOWN, now_ms=NOW).per_second == 36.0


def test_unknown_limit_is_learnt_from_the_first_push_back() -> None:
    """If no rate is declared, the first 429s give one: nine tenths of what the partner accepted."""
    unknown = Limit(since_ms=NOW, delivered=100, pushed_back=20)
    learnt = after(unknown, bounds=Bounds())
    assert learnt.per_second == learnt.held == DOWN * 100 / 2
    assert after(replace(unknown, pushed_back=0), bounds=Bounds()).per_second is None


UNKNOWN = Bounds()


@pytest.mark.parametrize(
    "unclear",
    [
        Limit(since_ms=NOW, delivered=20, timeouts=10),
        Limit(since_ms=NOW, delivered=20, pushed_back=4, timeouts=10),
        Limit(since_ms=NOW, pushed_back=20),
    ],
)
def test_a_limit_holds_where_429s_showed_it_beside_deliveries(unclear: Limit) -> None:
    """Time-outs lower it, and 429s of a partner that takes nothing at all: where it would hold they do not say."""
    learnt = after(unclear, bounds=UNKNOWN)
    assert learnt.per_second is not None
    assert learnt.held is None
    assert after(replace(start(BOUNDS, NOW), pushed_back=10)).held == 100.0


def test_the_most_that_arrived_in_a_window_is_remembered_and_fades() -> None:
    """In an outage hardly anything arrives, and the way back begins with a part of what did before."""
    before = Limit(since_ms=NOW, best=50.0, delivered=2)
    assert after(before, bounds=UNKNOWN).best == 49.5
    assert after(replace(before, delivered=200), bounds=UNKNOWN).best == 100.0


def test_idle_time_says_nothing_of_an_unknown_limit() -> None:
    """A window begins with the first call after it. One that has calls goes on, and one of a limit that is known."""
    idle = Limit(since_ms=NOW - 2 * STEP_MS)
    for window, is_new in (
        (idle, True),
        (replace(idle, since_ms=idle.since_ms + 1), False),
        (replace(idle, delivered=1), False),
        (replace(idle, per_second=10.0), False),
    ):
        began_ms = add(window, delivered=1, pushed_back=0, timeouts=0, now_ms=NOW).since_ms
        assert began_ms == (NOW if is_new else window.since_ms)


def test_a_limit_that_was_shown_is_kept_however_little_is_delivered() -> None:
    """It rises to what held, and is believed."""
    shown = Limit(50.0, held=100.0, since_ms=NOW, delivered=2, pushed_ms=NOW)
    assert after(shown, bounds=UNKNOWN).per_second == 75.0


def seconds_until_free_again(limit: Limit, *, bounds: Bounds, per_second: float, busy: bool) -> float:
    """The seconds until a limit allows a rate again, with traffic or without."""
    for window in range(10_000):
        if limit.per_second is None or limit.per_second >= per_second:
            return window * 0.5
        now_ms = limit.since_ms + 500
        used = add(limit, delivered=int(busy), pushed_back=0, timeouts=0, now_ms=now_ms)
        after_ms = NOW + STEP_MS + 500 * (window + 1)
        limit = step(replace(used, reached=busy), bounds, now_ms=after_ms)
    raise AssertionError("never")


@pytest.mark.parametrize("delivered", [0, 1, 10, 100])
def test_one_time_out_teaches_nothing(delivered: int) -> None:
    """One time-out does not change the limit, whether a rate is declared or not, and however few other calls there
    were.
    """
    assert after(Limit(since_ms=NOW, delivered=delivered, timeouts=1), bounds=UNKNOWN).per_second is None
    assert after(replace(start(BOUNDS, NOW), delivered=delivered, timeouts=1)).per_second == 100.0


@pytest.mark.parametrize(("delivered", "timeouts"), [(100, 5), (1_000, 50), (19, 1)])
def test_few_time_outs_teach_nothing(delivered: int, timeouts: int) -> None:
    """Time-outs of up to a twentieth of the calls leave the limit as it is, for ever."""
    assert after(replace(start(BOUNDS, NOW), delivered=delivered, timeouts=timeouts)).per_second == 100.0


def test_many_time_outs_lower_the_limit_and_do_not_say_where_it_is() -> None:
    """Many time-outs lower the limit to nine tenths a window while they last; then it grows as quickly as after an
    outage.
    """
    lower = after(replace(start(BOUNDS, NOW), delivered=10, timeouts=10))
    assert (lower.per_second, lower.held) == (90.0, 100.0)
    assert after(replace(lower, delivered=1)).per_second == 100.0
    assert after(Limit(since_ms=NOW, delivered=20, timeouts=10), bounds=UNKNOWN).per_second == DOWN * 10


@pytest.mark.parametrize("pushed", [{"pushed_back": 1}, {"pushed_back": 4}, {"timeouts": 4}])
def test_an_unknown_limit_is_not_learnt_from_a_few(pushed: dict[str, int]) -> None:
    """A 429 or two among few calls set no limit; the wait that they ask for is obeyed all the same."""
    assert after(Limit(since_ms=NOW, delivered=2, **pushed), bounds=UNKNOWN).per_second is None


@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize(
    ("bounds", "before", "within_s"),
    [
        (UNKNOWN, Limit(since_ms=NOW, delivered=2, timeouts=20), 60),
        (UNKNOWN, Limit(since_ms=NOW, delivered=0, pushed_back=20), 60),
        (UNKNOWN, Limit(since_ms=NOW, delivered=2, pushed_back=20), 601),
        (BOUNDS, Limit(10.0, held=10.0, since_ms=NOW, delivered=2, pushed_back=20), 610),
        (BOUNDS, Limit(10.0, held=100.0, since_ms=NOW, delivered=2, timeouts=20), 10),
    ],
)
def test_what_trouble_taught_fades(bounds: Bounds, before: Limit, within_s: float, busy: bool) -> None:
    """A limit from time-outs is forgotten within a minute, one from refusals within ten, however much of it is used. If
    a rate is declared an unused limit rises with its first use.
    """
    taught = after(before, bounds=bounds)
    if bounds is BOUNDS and not busy:
        taught = step(taught, bounds, now_ms=NOW + 1_000 * within_s)
        taught, within_s = replace(taught, since_ms=NOW + STEP_MS), 15
        busy = True
    assert seconds_until_free_again(taught, bounds=bounds, per_second=100, busy=busy) <= within_s


def test_an_outage_shows_no_limit_where_none_was_known() -> None:
    """If no limit was known before an outage, it begins low, grows without end, and is forgotten after a minute."""
    limit = restart(Limit(best=4.0, since_ms=NOW), UNKNOWN, now_ms=NOW)
    assert (limit.per_second, limit.held) == (1.2, None)
    assert seconds_until_free_again(limit, bounds=UNKNOWN, per_second=100, busy=True) < 15
    assert step(limit, UNKNOWN, now_ms=NOW + DOUBTED_MS).per_second is None


def test_the_way_back_needs_no_limit_that_is_reached() -> None:
    """Below the last limit that held, a window with a success is enough to grow; idle time is not."""
    limit = restart(start(BOUNDS, NOW), BOUNDS, now_ms=NOW)
    assert step(limit, BOUNDS, now_ms=NOW + QUICK_STEP_MS).per_second == 30.0
    assert step(replace(limit, delivered=1), BOUNDS, now_ms=NOW + QUICK_STEP_MS).per_second == 45.0


def test_the_way_back_does_not_go_on_while_nothing_arrives() -> None:
    """A single time-out in a window teaches nothing, but it is no sign that the partner takes more."""
    low = restart(start(BOUNDS, NOW), BOUNDS, now_ms=NOW)
    assert low.rises
    assert after(replace(low, timeouts=1)).per_second == low.per_second
    assert after(replace(low, delivered=1)).per_second > low.per_second


@pytest.mark.parametrize("per_window", [1, 50, 5_000])
def test_a_limit_that_nothing_showed_ends_where_it_holds_nobody_back(per_window: int) -> None:
    """A limit that nothing confirmed grows to a few times the delivered rate, and is then forgotten."""
    limit = restart(Limit(best=1.0, since_ms=NOW), UNKNOWN, now_ms=NOW)
    seen = []
    for second in range(1, 60):
        limit = step(replace(limit, delivered=per_window), UNKNOWN, now_ms=NOW + 1_000 * second)
        seen.append(limit.per_second)
    assert None in seen[:40]
    assert max(one or 0.0 for one in seen) <= 1.5 * LOOSE * max(1.0, per_window)
