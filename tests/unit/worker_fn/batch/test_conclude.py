"""How a message ends, by the results of its deliveries."""

import asyncio
import json
from typing import Any

from partners import Delivery
from shared.message import decode
from testkit.records import record
from worker_fn.accounts.suspension import PROBE_EVERY_MS
from worker_fn.batch.conclude import give_up_failing
from worker_fn.batch.job import Job
from worker_fn.batch.progress import Progress
from worker_fn.batch.record import Record
from worker_fn.dispatch.classify import Outcome, Verdict
from worker_fn.dispatch.lanes import Dispatch
from worker_fn.limits.ruling import Because


def test_first_refused_credentials_suspend_the_account(fleet: Any) -> None:
    """After a 401 the account's messages are parked; one stays as the probe; other customers are served."""
    report = fleet.run(*(record(n, ["401"]) for n in range(5)), record(9, ["200"], account=8))
    assert report.delivered == 1
    assert len(fleet.queue.parked) == 4
    assert len(report.failures) == 1
    assert fleet.state.keys("suspended") == ["7"]
    assert fleet.queue.dead == []
    fleet.run(record(19, ["401"]), worker=fleet.another())  # another message has a look, and is the probe then
    calls = len(fleet.api.calls)
    fleet.clock.now_s += 10
    fleet.run(record(20, ["200"]), worker=fleet.another())
    assert (len(fleet.api.calls), fleet.queue.parked[-1]) == (calls, "m-20")


def test_probe_that_arrives_clears_the_account(fleet: Any) -> None:
    """Once the credentials work, the account is served again and its parked messages are brought back."""
    fleet.run(record(1, ["401|200"]))
    fleet.clock.now_s += PROBE_EVERY_MS / 1_000 + 1
    report = fleet.run(record(1, ["401|200"], receives=2))
    assert report.delivered == 1
    assert fleet.state.keys("suspended") == []
    assert fleet.state.keys("partner") == ["flow", "sweep"] or "sweep" in fleet.state.keys("partner")
    assert fleet.run(record(2, ["200"])).delivered == 1


def test_probe_waits_for_its_time(fleet: Any) -> None:
    """Between two probes the partner hears nothing of the account."""
    fleet.run(record(1, ["401"]))
    fleet.clock.now_s += 10
    report = fleet.run(record(1, ["401"], receives=2))
    assert len(fleet.api.calls) == 1
    assert report.failures == ["m-1"]
    assert fleet.queue.hidden["h-1"] >= PROBE_EVERY_MS / 1_000 - 11


def test_unauthorized_without_an_account_is_dead_lettered(fleet: Any) -> None:
    """A refused message without an account is dead-lettered with its reason, because nobody could clear it."""
    bare = record(1, ["401"])
    envelope = json.loads(bare["body"])
    envelope["account_id"] = None
    fleet.run({**bare, "body": json.dumps(envelope)})
    assert fleet.letters()[0][0] == "unauthorized"


def test_slow_suspension_leaves_one_probe_all_the_same(fleet: Any) -> None:
    """However long the state table takes to store the suspension, one message stays as the probe and the rest is
    parked.
    """
    swap = fleet.state.swap

    async def slowly(*arguments: Any, **named: Any) -> Any:
        for _ in range(20):
            await asyncio.sleep(0)
        return await swap(*arguments, **named)

    fleet.state.swap = slowly
    report = fleet.run(*(record(n, ["401"]) for n in range(12)))
    assert (len(report.failures), len(fleet.queue.parked)) == (1, 11)


def test_refused_message_is_dead_lettered_with_a_reason(fleet: Any) -> None:
    """A 4xx goes to the dead-letter queue, body unchanged, with what an operator needs to know."""
    refused = record(1, ["200", "422", "200"])
    report = fleet.run(refused)
    [(body, attributes)] = fleet.queue.dead
    assert body == refused["body"]
    assert attributes == {
        "reason": "rejected",
        "error": "HTTP 422 for 1 of 3 deliveries",
        "status": "422",
        "attempts": "3",
        "first_received_ms": "1700000000000",
        "partner": "echo",
        "account_id": "7",
        "type": "event_processing_request",
    }
    assert report.failures == []
    assert fleet.api.ids == ["1.0", "1.1", "1.2"]


def test_waiting_comes_before_refusal(fleet: Any) -> None:
    """A message with a refused and a waiting delivery waits: it ends only when all deliveries have a result."""
    report = fleet.run(record(1, ["400", "503"]))
    assert (report.failures, fleet.queue.dead) == (["m-1"], [])


def test_message_that_is_too_old_is_dead_lettered(fleet: Any) -> None:
    """A message that would have to wait beyond its age goes to the dead-letter queue, after a last try."""
    old_ms = 1_700_000_000_000 - 73 * 3_600_000
    fleet.run(record(1, ["503"], received_at_ms=old_ms), record(2, ["200"], received_at_ms=old_ms))
    assert fleet.letters() == [("too_old", "HTTP 503 after 73 hours")]
    assert sorted(fleet.api.ids) == ["1.0", "2.0"]


def test_message_that_was_received_often_saves_its_receives(fleet: Any) -> None:
    """A partner that says 'in ten seconds' for hours does not use up the thousand receives that SQS grants."""
    fleet.run(record(1, ["429 10"], receives=400))
    assert fleet.queue.hidden["h-1"] >= 72 * 3_600 / 900
    fleet.clock.now_s += 60
    fleet.run(record(2, ["429 10"], receives=3))
    assert fleet.queue.hidden["h-2"] < 60


def test_what_nobody_read_in_time_waits_for_the_next_invocation(fleet: Any) -> None:
    """Nobody said no to it: it comes back at once, and counts as such."""
    report = fleet.run(record(1, ["200"]), record(2, ["200"]), time_s=2)
    assert report.waits == {"time": 2}
    assert fleet.queue.hidden == {"h-1": 1, "h-2": 1}


def test_only_what_failed_is_given_up(fleet: Any) -> None:
    """Where a message has failed often enough: not what arrived beside it, was pushed back last, or was not called."""
    outcomes = {
        "arrived": Outcome(Verdict.DELIVERED, 200),
        "pushed back": Outcome(Verdict.RETRY, 429, "HTTP 429"),
        "not called": Outcome(Verdict.RETRY, because=Because.TIME),
        "failed": Outcome(Verdict.RETRY, 503, "HTTP 503"),
        "not reached": None,
    }
    items = [
        Dispatch(Delivery("https://p.example", b"", key), key, outcome, calls=[] if key.startswith("not") else [1])
        for key, outcome in outcomes.items()
    ]
    message = decode(record(1, ["200"])["body"])
    job = Job(Record(record(1, ["200"])), message=message, items=items, progress=Progress(failed_attempts=49))
    give_up_failing(job, fleet.worker)  # nothing arrived here, so its attempts in this batch do not count
    assert [item.outcome for item in items] == list(outcomes.values())
    job.progress = Progress(failed_attempts=50)
    give_up_failing(job, fleet.worker)
    assert [item.key for item in items if item.outcome != outcomes[item.key]] == ["failed"]
    assert items[3].outcome == Outcome(Verdict.REJECTED, 503, "HTTP 503 50 times, while other calls succeed")


def test_a_letter_of_which_nothing_arrived_leaves_nothing(fleet: Any) -> None:
    """There is nothing to resume."""
    fleet.run(record(1, ["400"]), record(2, ["400"], receives=2))
    assert len(fleet.queue.dead) == 2
    assert fleet.state.keys("progress#") == []
