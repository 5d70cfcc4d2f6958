"""A worker and all that it reaches."""

import asyncio

from partners.webhook import Webhook
from testkit import PartnerApi
from testkit.harness import Harness
from testkit.mapping import body_of_request
from testkit.records import record
from testkit.requests import make_request

HOOK = Webhook(url="https://hook.example/")


def test_an_invocation_has_a_report() -> None:
    """What was not sent is reported, and hidden until it makes sense to come back."""
    harness = Harness(HOOK, PartnerApi(lambda call: 503 if b"2.0" in call.body else 200), begins_s=1_700_000_000.0)
    report = harness.run(record(1, ["a"]), record(2, ["b"]))
    assert (report.delivered, report.failures) == (1, ["m-2"])
    assert harness.queue.hidden["h-2"] > 0


def test_messages_are_worked_until_none_waits() -> None:
    """Each receive is an invocation of its own, at the time when the message is visible."""
    api = PartnerApi(503, 503, 200, call_s=0.5)
    harness = Harness(HOOK, api)
    harness.work([body_of_request(make_request("dsr_processing_request", seed=1))])
    assert harness.queue.ends["m-0"].how == "delivered"
    assert len(api.calls) == 3
    assert api.calls[2].at_s > api.calls[1].at_s > api.calls[0].at_s + 0.5


def test_workers_of_a_fleet_share_what_is_outside_them() -> None:
    """Queue, state table and clock; what one environment knows by itself the other does not."""
    harness = Harness(HOOK, PartnerApi(), share=0.5)
    other = harness.another(in_groups=True)
    harness.set_item("partner", "flow", {"a": 1})
    assert asyncio.run(other.state.read("partner", "flow")) == asyncio.run(harness.worker.state.read("partner", "flow"))
    assert other.queue is harness.worker.queue
    assert other.limiters is not harness.worker.limiters
    assert other.in_groups
    assert other.now_ms() == harness.clock.now_ms()


def test_state_can_be_set_before() -> None:
    """As a table that was written to by others."""
    harness = Harness(HOOK, PartnerApi())
    harness.set_item("partner", "flow", {"a": 1})
    assert harness.state.keys("partner") == ["flow"]
