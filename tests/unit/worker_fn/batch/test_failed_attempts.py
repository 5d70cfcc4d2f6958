"""A message on which the partner fails while it takes others."""

from typing import Any

from testkit.records import record


def test_message_that_alone_fails_again_and_again_is_rejected(make_fleet: Any) -> None:
    """A message on which the partner fails while it takes others is dead-lettered after so many failed attempts."""
    fleet = make_fleet()
    receives = 0
    while not fleet.queue.dead:
        receives += 1
        fleet.clock.now_s += 60
        fleet.run(record(100 + receives, ["200"]), record(1, ["500"], receives=receives))
        assert receives < 60
    [(reason, error)] = fleet.letters()
    assert reason == "rejected"
    assert error.startswith("HTTP 500 50 times")


def test_partner_that_fails_on_everything_costs_no_message_a_failed_attempt(fleet: Any) -> None:
    """While the partner takes nothing, no message is to blame."""
    for receives in range(1, 80):
        fleet.clock.now_s += 900
        fleet.run(record(1, ["500"], receives=receives, received_at_ms=int(fleet.clock.now_s * 1_000)))
    assert fleet.queue.dead == []


def test_event_that_always_fails_takes_nothing_with_it(fleet: Any) -> None:
    """What is behind an event that failed too often is delivered; the dead letter speaks of that event alone."""
    names = ["200", "500", "200", "200"]
    receives = 0
    while not fleet.queue.dead:
        receives += 1
        fleet.clock.now_s += 60
        fleet.run(record(100 + receives, ["200"]), record(1, names, receives=receives))
        assert receives < 80
    [(reason, error)] = fleet.letters()
    assert reason == "rejected"
    assert error.startswith("HTTP 500 50 times")
    assert error.endswith("for 1 of 4 deliveries")
    assert [event_id for event_id in fleet.api.ids if event_id in {"1.0", "1.2", "1.3"}] == ["1.0", "1.2", "1.3"]
