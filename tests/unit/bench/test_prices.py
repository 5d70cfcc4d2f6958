"""The price list, and what is billed."""

import pytest

from bench.prices import Logs, Used, billed_s, queued, written


@pytest.mark.parametrize(
    ("wall_s", "cpu_s", "memory_mb", "billed"),
    [(0.6, 0.0, 512, 0.6), (0.0101, 0.0, 1_769, 0.011), (0.02, 0.01, 1_769, 0.02), (0.02, 0.01, 885, 0.030)],
)
def test_cpu_takes_longer_on_a_part_of_a_processor(wall_s: float, cpu_s: float, memory_mb: int, billed: float) -> None:
    """Half of 1,769 MB needs twice the time for its CPU; waiting is as long for all; milliseconds are whole."""
    assert billed_s(wall_s, cpu_s, memory_mb) == pytest.approx(billed)


@pytest.mark.parametrize(
    ("body_bytes", "requests"),
    [(1_000, 1 + 0.1 + 0.1), (10_000, 1 + 0.2 + 0.1), (65_536, 1 + 1 + 0.1), (65_537, 2 + 1.1 + 0.1)],
)
def test_a_message_is_sent_received_and_deleted(body_bytes: int, requests: float) -> None:
    """A request for each 64 KiB; ten are received and deleted together, and what is received is weighed together."""
    assert queued(body_bytes) == pytest.approx(requests)


def test_the_floor_of_a_million_requests_is_sixty_cents() -> None:
    """An invocation and a send each."""
    assert Used(invocations=1, sqs_requests=1).dollars(1_000_000, logs=Logs.NONE) == pytest.approx(0.60)


def test_a_direct_function_that_waits_600_ms_costs_over_two_dollars() -> None:
    """A quarter of a gigabyte for 0.6 s, a million times, and the invocations."""
    assert Used(invocations=1, gb_s=0.15).dollars(1_000_000, logs=Logs.NONE) == pytest.approx(2.20, abs=0.005)


def test_logs_are_apart() -> None:
    """A kilobyte of logs a request is fifty cents for a million."""
    used = Used(log_bytes=1_000)
    assert used.dollars(1_000_000, logs=Logs.NONE) == 0
    assert used.dollars(1_000_000, logs=Logs.TEXT) == pytest.approx(0.50)
    assert written("a line\nanother\n", 2) == Used(log_bytes=(15 + 2 * 26) / 2, log_lines=1)


def test_lambda_adds_to_logs_by_their_format() -> None:
    """Three lines an invocation as text, a time and a level to each line as JSON."""
    used = Used(invocations=0.5, log_bytes=100, log_lines=2)
    assert used.logged(Logs.NONE) == 0
    assert used.logged(Logs.TEXT) == 100 + 0.5 * 350
    assert used.logged(Logs.JSON) == 100 + 2 * 54


def test_quantities_add_up() -> None:
    """Field by field."""
    assert Used(invocations=1, log_bytes=3) + Used(invocations=2, pipes=1) == Used(invocations=3, log_bytes=3, pipes=1)
