"""Code that does not end is interrupted."""

import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import FrameType
from typing import Any

import pytest

from partners import Delivery
from shared.firehose import EventProcessingRequest, Request
from testkit.records import record
from tests.fakes.echo import Echo
from worker_fn.batch.time_budget import SETTLE_RESERVE_S
from worker_fn.batch.time_limit import OutOfTime, at_most, ticking


def spin() -> None:
    while True:
        pass


def spin_past_exceptions() -> None:
    while True:
        try:
            spin()
        except Exception:  # as a partner's code may, around each event
            continue


def spin_once_more() -> None:
    try:
        spin()
    except BaseException:
        spin()


def backtrack() -> None:
    re.fullmatch("(a|aa)+b", "a" * 200)


ENDLESS = [spin, spin_past_exceptions, spin_once_more, backtrack]


@pytest.mark.parametrize("work", ENDLESS)
def test_endless_work_is_interrupted(work: Callable[[], None]) -> None:
    """Endless code is interrupted, even if it catches exceptions or is in a regular expression."""
    with pytest.raises(OutOfTime), ticking(), at_most(0.05):
        work()


def test_the_timer_ticks_until_the_last_has_done_with_it() -> None:
    """The timer runs until the last of two interleaved users has ended."""
    with ExitStack() as second:
        with ticking():
            second.enter_context(ticking())
        with pytest.raises(OutOfTime), at_most(0.05):
            spin()


def test_what_ends_in_time_is_left_alone() -> None:
    """Code that ends in time returns or raises as usual, and no signal comes afterwards."""
    with ticking(), at_most(60):
        pass
    with pytest.raises(KeyError), ticking(), at_most(60):
        raise KeyError


def test_a_tick_that_comes_as_the_code_ends_is_late() -> None:
    """A tick that comes just as the code ends interrupts neither the code after it nor the next user."""

    def tick(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is at_most.__exit__.__code__:
            sys.setprofile(before)
            handler = signal.getsignal(signal.SIGALRM)
            assert callable(handler)
            handler(signal.SIGALRM, frame)

    before = sys.getprofile()
    with ticking():
        with at_most(0):
            sys.setprofile(tick)
        assert sys.getprofile() is before
        signal.raise_signal(signal.SIGALRM)


def test_the_timer_and_its_handler_are_given_back() -> None:
    """An earlier timer and handler, a test runner's for example, are restored."""
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    had_s, every_s = signal.setitimer(signal.ITIMER_REAL, 5_000)
    try:
        with ticking(), at_most(60):
            pass
        left_s, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < left_s <= 5_000
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_IGN
    finally:
        signal.setitimer(signal.ITIMER_REAL, had_s, every_s)
        signal.signal(signal.SIGALRM, before)


def test_a_tick_that_is_under_way_ends_no_process() -> None:
    """If there was no handler before, a late signal finds one that does nothing."""
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        with ticking(), at_most(60):
            pass
        signal.raise_signal(signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_on_another_thread_nothing_is_interrupted() -> None:
    """On another thread the work is done without a limit, because a signal reaches only the main thread."""
    done: list[int] = []

    def work() -> None:
        with ticking(), at_most(0.001):
            done.append(sum(range(1_000)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [499_500]


class Endless(Echo):
    """Never comes back from an event that says so."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work

    def deliveries(self, request: Request) -> Iterator[Delivery]:
        assert isinstance(request, EventProcessingRequest)
        for delivery in super().deliveries(request):
            if b"endless" in delivery.body:
                self.work()
            yield delivery


@pytest.mark.parametrize("work", ENDLESS)
def test_a_mapping_without_end_ends_its_record_alone(work: Callable[[], None], make_fleet: Any) -> None:
    """A mapping without end is dead-lettered with the bound, and its neighbours are delivered."""
    fleet = make_fleet(Endless(work))
    batch = [record(1, ["200"]), record(2, ["200", "endless"]), record(3, ["200"])]
    report = fleet.run(*batch, time_s=SETTLE_RESERVE_S + 5.0)
    assert (report.delivered, sorted(fleet.api.ids)) == (2, ["1.0", "3.0"])
    assert fleet.letters() == [("unmappable", "it took longer than 1 s to map")]
