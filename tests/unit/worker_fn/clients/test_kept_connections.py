"""Which kept connections may be used again."""

import pytest

from shared.partner_http import Ends
from tests.fakes.clock import Clock
from worker_fn.clients import kept_connections
from worker_fn.clients.kept_connections import IDLE_S, Kept

ONE, OTHER = Ends("192.0.2.1", 443, 40_005), Ends("192.0.2.1", 443, 40_006)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, bool]]:
    """Local ports by descriptor, and whether bytes are waiting."""
    made = {5: (40_005, False)}
    monkeypatch.setattr(kept_connections, "_port_of", lambda one: made[one][0] if one in made else None)
    monkeypatch.setattr(kept_connections, "_has_something_to_say", lambda one: made[one][1])
    return made


def test_a_connection_that_was_opened_for_the_call_is_used(connections: dict[int, tuple[int, bool]]) -> None:
    """Only a connection that was opened for the call is used."""
    mine = Kept(Clock())
    assert mine.may_be_used(ONE, [5])
    assert not mine.may_be_used(OTHER, [])


@pytest.mark.parametrize(("idle_s", "usable"), [(0, True), (IDLE_S, True), (IDLE_S + 1, False), (-1, False)])
def test_a_connection_is_used_again_while_it_is_fresh(
    idle_s: float, usable: bool, connections: dict[int, tuple[int, bool]]
) -> None:
    """A connection is used again while it is fresh by the wall clock, which goes on in a frozen environment; a clock
    that was set back proves nothing.
    """
    clock = Clock()
    mine = Kept(clock)
    mine.may_be_used(ONE, [5])
    mine.used(ONE)
    clock.now_s += idle_s
    assert mine.may_be_used(ONE, []) is usable


def test_what_nobody_asked_for_is_no_answer(connections: dict[int, tuple[int, bool]]) -> None:
    """A connection on which bytes wait is not used again, nor one whose descriptor now belongs to something else."""
    mine = Kept(Clock())
    mine.may_be_used(ONE, [5])
    connections[5] = (40_005, True)
    assert not mine.may_be_used(ONE, [])
    connections[5] = (40_099, False)
    assert not mine.may_be_used(ONE, [])


def test_connections_with_one_local_port_are_told_apart(connections: dict[int, tuple[int, bool]]) -> None:
    """Two connections to different addresses may have one local port: bytes on one are noticed all the same."""
    mine, elsewhere = Kept(Clock()), ONE._replace(ip="192.0.2.2")
    connections[6] = (40_005, False)
    assert mine.may_be_used(ONE, [5])
    assert mine.may_be_used(elsewhere, [6])
    connections[5] = (40_005, True)
    assert not mine.may_be_used(ONE, [])
    assert mine.may_be_used(elsewhere, [])
