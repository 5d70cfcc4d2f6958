"""A message that `spillway dlq redrive` sent again: its attributes say when, how often, and what it was before."""

from typing import Any

import pytest

from testkit.records import record
from worker_fn.batch.conclude import LETTER_KEPT_S

RECEIVED_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def redriven(fleet: Any, names: list[str], *, hours_old: float = 100, said: dict[str, str] | None = None) -> Any:
    now_ms = int(fleet.clock.now_s * 1_000)
    one = record(1, names, received_at_ms=now_ms - int(hours_old * HOUR_MS))
    one["attributes"]["SentTimestamp"] = str(now_ms)
    given = {"reason": "rejected", "redriven_ms": str(now_ms), "history": "1 rejected:422"} if said is None else said
    one["messageAttributes"] = {name: {"dataType": "String", "stringValue": value} for name, value in given.items()}
    return one


def test_its_age_begins_anew(fleet: Any) -> None:
    """A redriven message may wait as long as a new one, and is then too old again."""
    one = redriven(fleet, ["503"])
    assert fleet.run(one).failures == ["m-1"]
    assert fleet.queue.dead == []
    fleet.clock.now_s += 73 * 3_600
    fleet.run(one)
    assert fleet.letters() == [("too_old", "HTTP 503 after 73 hours")]


@pytest.mark.parametrize(
    "said",
    [
        {"reason": "rejected"},
        {"reason": "rejected", "redriven_ms": ""},
        {"reason": "rejected", "redriven_ms": "-5"},
        {"reason": "rejected", "redriven_ms": "9" * 5_000},
        {"reason": "rejected", "redriven_ms": "²"},
        {"reason": "rejected", "redriven_ms": "1e9"},
        {"reason": "rejected", "redriven_ms": "5"},
    ],
)
def test_what_is_no_moment_changes_no_age(fleet: Any, said: dict[str, str]) -> None:
    """A redrive time that cannot be read does not change the age."""
    fleet.run(redriven(fleet, ["503"], said=said))
    assert [reason for reason, _ in fleet.letters()] == ["too_old"]


def test_a_letter_again_carries_its_history(fleet: Any) -> None:
    """A message that is dead-lettered again has the number and time of its redrives beside its new reason, within SQS's
    ten attributes.
    """
    one = redriven(fleet, ["400"])
    fleet.run(one)
    ((_, attributes),) = fleet.queue.dead
    assert attributes["history"] == "1 rejected:422"
    assert attributes["redriven_ms"] == one["messageAttributes"]["redriven_ms"]["stringValue"]
    assert (attributes["reason"], attributes["status"], attributes["attempts"]) == ("rejected", "400", "1")
    assert len(attributes) <= 10


@pytest.mark.parametrize("history", ["", "x" * 257, "\x1b[31m", "a\nb"])
def test_a_history_that_is_none_is_left(fleet: Any, history: str) -> None:
    fleet.run(redriven(fleet, ["400"], said={"history": history}))
    ((_, attributes),) = fleet.queue.dead
    assert "history" not in attributes


def test_its_attempts_begin_anew_and_what_arrived_is_not_sent_again(fleet: Any) -> None:
    """After a redrive attempts begin at zero and delivered calls are not repeated, however soon or late the redrive
    comes.
    """
    names = ["200", "400|400|200"]
    fleet.run(record(1, names))
    assert fleet.queue.dead[0][1]["attempts"] == "2"
    at_once = redriven(fleet, names, hours_old=0.0)
    at_once["body"] = record(1, names)["body"]
    at_once["attributes"]["SentTimestamp"] = str(RECEIVED_MS + 1)
    fleet.run(at_once)
    assert fleet.queue.dead[1][1]["attempts"] == "1"
    fleet.clock.now_s += 3_600
    assert fleet.run(at_once).delivered == 1
    assert fleet.api.ids == ["1.0", "1.1", "1.1", "1.1"]


def test_progress_of_a_letter_is_kept_as_long_as_the_letter(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead letter's progress is kept 14 days longer than a message's, so a redrive on the last day resumes."""
    kept: list[int | None] = []
    swap = fleet.state.swap

    async def noting(pk: str, sk: str, *rest: Any, expires_at: int | None, **more: Any) -> Any:
        if pk.startswith("progress#"):
            kept.append(expires_at)
        return await swap(pk, sk, *rest, expires_at=expires_at, **more)

    monkeypatch.setattr(fleet.state, "swap", noting)
    fleet.run(record(1, ["200", "400"]))
    age_s = fleet.worker.budgets.age_s("event_processing_request")
    assert kept == [int(fleet.clock.now_s) + age_s + 86_400 + LETTER_KEPT_S]
    assert LETTER_KEPT_S == 14 * 86_400
