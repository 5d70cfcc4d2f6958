"""When messages that wait for their account come back, and what is parked."""

from typing import Any

import pytest

from partners import Bulk, Rate
from tests.unit.worker_fn.acme import Acme, scripted


@pytest.fixture
def deliver(make_fleet: Any) -> Any:
    return scripted(make_fleet)


def test_messages_beyond_an_endpoints_rate_come_back_by_the_call(deliver: Any) -> None:
    """As many messages are given one time to come back as one bulk call takes."""
    fleet = deliver(Acme({"bulk": Bulk(4, rate=Rate(1, 10))}, in_order=False), max_in_flight=20)
    report = fleet.run(*(fleet.record(n, ["bulk"]) for n in range(13)))
    waits = sorted(fleet.queue.hidden[f"h-{failure[2:]}"] for failure in report.failures)
    assert report.delivered + len(waits) == 13
    assert len(waits) >= 8
    assert waits[7] - waits[3] == pytest.approx(10, abs=1)
    assert waits[-1] <= 40
