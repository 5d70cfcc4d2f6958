"""An account whose credentials are refused, from the 401 to its messages' return, over real SQS and DynamoDB calls."""

import io
import json
from typing import Any

import boto3
import pytest
from rich.console import Console

from ingest_fn import handler as ingest_entry
from ops.operate import suspensions as operator
from ops.operate import worker_tick
from ops.operate.stack import Stack
from ops.operate.suspensions import Cleared
from tests.fakes.mapping import FakeMapping
from worker_fn import handler as worker_entry
from worker_fn.accounts import suspension, suspensions
from worker_fn.maintenance import unpark


def request(number: int, account_id: int, key: str | None = None) -> dict[str, Any]:
    account = {"account_id": account_id, "account_settings": {"apiKey": key or f"key-{account_id}"}}
    event = {"type": "custom_event", "id": f"{account_id}-{number}", "name": "n"}
    return {
        "type": "event_processing_request",
        "id": f"r-{account_id}-{number}",
        "account": account,
        "events": [event],
    }


def audience(account_id: int) -> dict[str, Any]:
    return {
        "type": "audience_membership_change_request",
        "id": "a",
        "account": {"account_id": account_id},
        "user_profiles": [{"mpid": "1"}],
    }


class Story:
    """The steps of a test: requests come, batches are processed, minutes pass."""

    def __init__(self, queues: Any, partner: Any, context: Any) -> None:
        self.queues, self.partner, self.context = queues, partner, context
        self.refused = {"key-7"}
        partner.answer = self._answer

    def _answer(self, handler: Any, call: Any) -> None:
        known = call.headers.get("Authorization", "")[7:] not in self.refused
        handler.send_response(200 if known else 401)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def send(self, *requests: dict[str, Any]) -> None:
        for one in requests:
            ingest_entry.handler(one, None)

    def arrived(self) -> list[str]:
        """Events whose call had credentials that the partner accepts now."""
        good = [call for call in self.partner.calls if call.headers.get("Authorization", "")[7:] not in self.refused]
        return sorted(json.loads(call.body)["event"]["id"] for call in good if b'"event"' in call.body)

    def parked(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.queues.sqs.get_queue_attributes(QueueUrl=self.queues.parking_url, AttributeNames=names)
        return sum(int(count) for count in found["Attributes"].values())

    def tick(self) -> dict[str, Any]:
        report: dict[str, Any] = worker_entry.handler({"tick": {"mapping_id": "m"}}, self.context(60.0))
        return report


@pytest.fixture
def story(queues: Any, partner: Any, lambda_context: Any, monkeypatch: pytest.MonkeyPatch) -> Story:
    monkeypatch.setattr(worker_entry, "event_source_mapping", lambda _: FakeMapping())
    return Story(queues, partner, lambda_context)


def test_other_customers_are_served_while_one_is_parked(story: Story) -> None:
    """Messages of the account with the wrong key are parked, other accounts are served, and nothing is
    dead-lettered.
    """
    story.send(*(request(n, 7) for n in range(3)), *(request(n, 8) for n in range(3)))
    story.queues.drain_once()
    assert story.arrived() == ["8-0", "8-1", "8-2"]
    assert story.parked() == 2
    assert story.queues.depth() == (0, 1)  # the probe
    assert story.queues.dead_letters() == []


def test_mparticle_learns_of_the_suspension(story: Story) -> None:
    """The account's next audience change is answered with suspend_subscription, another account's is not."""
    story.send(request(1, 7))
    story.queues.drain_once()
    ingest_entry._suspended.cache_clear()
    assert ingest_entry.handler(audience(7), None)["suspend_subscription"] is True
    assert ingest_entry.handler(audience(8), None)["suspend_subscription"] is False


def test_parked_messages_return_once_the_key_works(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the probe is accepted the account is cleared, the tick moves its messages back, and each arrives once."""
    monkeypatch.setattr(suspension, "PROBE_EVERY_MS", 1)
    story.send(*(request(n, 7) for n in range(12)))
    while story.queues.depth()[0]:
        story.queues.drain_once()
    story.refused.clear()
    while story.queues.depth() != (0, 0):
        story.queues.drain_once()  # the probe, hidden for a second
    parked = story.parked()
    assert story.tick()["unparked"] == parked >= 9  # but for those that had a turn
    assert story.parked() == 0
    while story.queues.depth() != (0, 0):
        story.queues.drain_once()
    assert sorted(set(story.arrived())) == sorted(f"7-{n}" for n in range(12))
    assert story.queues.dead_letters() == []


def test_without_the_state_table_messages_are_delivered(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the state table suspensions are not known, but no message is lost."""
    monkeypatch.setenv("STATE_TABLE", "no-such-table")
    for cache in (worker_entry._settings, worker_entry._worker, ingest_entry._settings, ingest_entry._suspended):
        cache.cache_clear()
    story.send(*(request(n, 8) for n in range(3)), audience(8))
    while story.queues.depth() != (0, 0):
        assert story.queues.drain_once() == {"batchItemFailures": []}
    assert story.arrived()[:3] == ["8-0", "8-1", "8-2"]


def clear_by_operator(story: Story, monkeypatch: pytest.MonkeyPatch, *accounts: str, wait: bool = False) -> Cleared:
    """Run `spillway suspensions clear` with the worker in this process; time passes without waiting."""
    monkeypatch.setattr(worker_tick, "run", lambda _: story.tick())
    outputs = {"StateTableName": "state", "ParkingQueueUrl": story.queues.parking_url}
    stack = Stack("test", "us-east-1", outputs, boto3.session.Session(region_name="us-east-1"))
    cleared = operator.clear_accounts(stack, accounts)
    return operator.move_back(stack, cleared, wait=wait, on_progress=lambda _: None, sleep=lambda _: None)


def suspended_accounts(story: Story) -> list[tuple[str, int]]:
    outputs = {"StateTableName": "state", "ParkingQueueUrl": story.queues.parking_url}
    stack = Stack("test", "us-east-1", outputs, boto3.session.Session(region_name="us-east-1"))
    return [(one.account_id, one.status) for one in operator.listing(stack).suspensions]


def test_operators_clear_moves_that_account_s_messages_and_no_others(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two suspended accounts the messages of the cleared one come back, complete and unchanged; the other's stay
    parked.
    """
    monkeypatch.setattr(suspensions, "KNOWN_FOR_MS", 0)
    story.refused.add("key-9")
    story.send(*(request(n, 7) for n in range(25)), *(request(n, 9) for n in range(8)))
    while story.queues.depth()[0]:
        story.queues.drain_once()
    assert suspended_accounts(story) == [("7", 401), ("9", 401)]
    parked = story.parked()
    story.refused.remove("key-7")
    cleared = clear_by_operator(story, monkeypatch, "7")
    assert (cleared.accounts, cleared.is_done) == (["7"], False)
    assert suspended_accounts(story) == [("9", 401)]
    assert story.parked() == parked - cleared.moved
    while story.queues.depth()[0]:
        story.queues.drain_once()
    assert len(set(story.arrived())) >= cleared.moved >= 22
    assert all(event_id.startswith("7-") for event_id in story.arrived())
    assert story.queues.dead_letters() == []


def test_operator_names_an_account_that_is_not_suspended(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """If one of the named accounts is not suspended, none is cleared."""
    story.send(request(1, 7))
    story.queues.drain_once()
    with pytest.raises(operator.NotSuspended, match="not suspended: 8"):
        clear_by_operator(story, monkeypatch, "7", "8")
    assert suspended_accounts(story) == [("7", 401)]
    assert clear_by_operator(story, monkeypatch).accounts == ["7"]
    assert clear_by_operator(story, monkeypatch).is_done


def test_clear_that_waits_ends_when_nothing_can_be_parked_any_more(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clear that waits ticks until a sweep has seen all messages, those of late batches included."""
    monkeypatch.setattr(unpark, "late_ms", lambda _: 1_500)
    story.send(*(request(n, 7) for n in range(4)))
    while story.queues.depth()[0]:
        story.queues.drain_once()
    story.refused.clear()
    assert clear_by_operator(story, monkeypatch, "7", wait=True).is_done
    assert story.parked() == 0


def test_customer_that_rotates_its_key_is_served_at_once(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """While forty old requests are parked, each new one is delivered in its first batch, and mParticle is not told to
    stop.
    """
    monkeypatch.setattr(suspensions, "KNOWN_FOR_MS", 0)
    story.send(*(request(n, 7) for n in range(40)))
    while story.queues.depth()[0]:
        story.queues.drain_once()
    assert story.parked() >= 38
    for batch in range(4):
        story.send(*(request(100 + 10 * batch + n, 7, "key-new") for n in range(9)))
        story.queues.drain_once()
        assert len(story.arrived()) == 9 * (batch + 1)
    ingest_entry._suspended.cache_clear()
    assert ingest_entry.handler(audience(7), None)["suspend_subscription"] is False
    assert story.queues.dead_letters() == []


def test_clear_that_waits_says_that_old_requests_are_refused_again(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All old requests move back once, are refused and parked again, and the clear says so; new requests are
    delivered.
    """
    monkeypatch.setattr(unpark, "late_ms", lambda _: 1_500)
    monkeypatch.setattr(suspensions, "KNOWN_FOR_MS", 0)
    story.send(*(request(n, 7) for n in range(20)))
    while story.queues.depth()[0]:
        story.queues.drain_once()
    parked = story.parked()
    tick = story.tick

    def tick_and_work() -> dict[str, Any]:
        report = tick()
        while story.queues.depth()[0]:
            story.queues.drain_once()
        return report

    monkeypatch.setattr(story, "tick", tick_and_work)
    cleared = clear_by_operator(story, monkeypatch, "7", wait=True)
    assert cleared.is_done
    assert cleared.moved >= parked
    assert [(one.account_id, one.status, one.credentials) for one in cleared.refused_again] == [("7", 401, 1)]
    assert story.parked() >= parked - 2
    story.send(*(request(100 + n, 7, "key-new") for n in range(5)))
    story.queues.drain_once()
    assert len(story.arrived()) == 5


def test_listing_says_how_many_keys_of_an_account_are_refused_and_which_are_old(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each account has one line, which says what happens to messages of replaced keys and shows no fingerprint."""
    monkeypatch.setattr(suspensions, "KNOWN_FOR_MS", 0)
    story.refused.add("key-8b")
    story.send(request(1, 7), request(2, 8, "key-8b"), request(3, 7, "key-new"))
    story.queues.drain_once()
    story.refused |= {"key-8"}
    story.send(request(4, 8), request(5, 7, "key-new"))
    story.queues.drain_once()
    outputs = {"StateTableName": "state", "ParkingQueueUrl": story.queues.parking_url}
    stack = Stack("test", "us-east-1", outputs, boto3.session.Session(region_name="us-east-1"))
    found = operator.listing(stack)
    assert {(one.account_id, one.credentials, one.gives_up_at_ms is None) for one in found.suspensions} == {
        ("7", 1, False),
        ("8", 2, True),
    }
    console = Console(file=io.StringIO(), width=100)
    operator.show(found, console, now_ms=found.suspensions[0].since_ms)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "7: newer credentials are taken. What carries the old ones is dead-lettered as unauthorized, in " in said
    dynamo = boto3.client("dynamodb", region_name="us-east-1")
    for row in dynamo.scan(TableName="state")["Items"]:
        assert row["sk"]["S"].partition("#")[2] not in said.split()
        assert "key-" not in str(row)
