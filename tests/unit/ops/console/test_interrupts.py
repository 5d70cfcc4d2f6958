import asyncio
import signal
import threading
from collections.abc import Iterator

import pytest

from ops.console import interrupts


class Stopped(Exception):
    pass


@pytest.fixture(params=interrupts.SIGNALS)
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal whose effect is an exception, as Ctrl-C's is."""

    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(request.param, stop)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_waits_for_the_end_of_the_block(number: signal.Signals) -> None:
    """What stands in the block is done whole; then the signal has its effect."""
    done = []

    def work() -> None:
        with interrupts.held_back():
            signal.raise_signal(number)
            done.append(1)

    with pytest.raises(Stopped):
        work()
    assert done == [1]
    with pytest.raises(Stopped):
        signal.raise_signal(number)


def test_without_a_signal_nothing_happens(number: signal.Signals) -> None:
    """The handlers are as they were, and the block's own exception passes."""
    before = signal.getsignal(number)
    with pytest.raises(ZeroDivisionError), interrupts.held_back():
        raise ZeroDivisionError
    assert signal.getsignal(number) is before


def test_other_threads_are_not_held(number: signal.Signals) -> None:
    """Only the main thread may set handlers; elsewhere the block is just a block."""
    seen = []

    def elsewhere() -> None:
        with interrupts.held_back():
            seen.append(signal.getsignal(number))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(number)]


def test_a_loop_gives_its_result() -> None:
    """Without a signal it is a plain run."""

    async def main() -> int:
        await asyncio.sleep(0)
        return 7

    assert interrupts.run(main()) == 7


def test_a_signal_cancels_the_loop_and_then_has_its_effect(number: signal.Signals) -> None:
    """The coroutine cleans up first, also when the signal comes twice; then the signal counts."""
    steps = []

    async def main() -> None:
        try:
            signal.raise_signal(number)
            signal.raise_signal(number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    with pytest.raises(Stopped):
        interrupts.run(main())
    assert steps == ["cleaned up"]
