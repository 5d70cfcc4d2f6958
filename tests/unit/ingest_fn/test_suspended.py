import json

import pytest

from ingest_fn.suspended import REFRESH_S, Suspended

Answer = tuple[int, bytes] | Exception


class FakeDynamo:
    """Answers one query after the other; counts them."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.queries: list[dict[str, object]] = []

    def call(self, target: str, body: bytes, *, timeout_s: float) -> tuple[int, bytes]:
        assert target == "DynamoDB_20120810.Query"
        assert timeout_s <= 0.2
        self.queries.append(json.loads(body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


WRITTEN = {"status": 401, "since_ms": 1, "probe_id": "x", "probe_at_ms": 2}


def listing(*accounts: str, **value: object) -> Answer:
    """As the worker writes them; without a `value` as the release before did."""
    text = json.dumps({**WRITTEN, **value})
    items = [{"sk": {"S": account}, "value": {"S": text}} for account in accounts]
    return 200, json.dumps({"Items": items}).encode()


def suspended(dynamo: FakeDynamo, now: list[float]) -> Suspended:
    return Suspended(dynamo, "state", clock=lambda: now[0])  # type: ignore[arg-type]


def test_suspended_accounts_are_known() -> None:
    """Who stands in the table is suspended, others are not."""
    dynamo = FakeDynamo(listing("7", "9"))
    accounts = suspended(dynamo, [0.0])
    assert [account in accounts for account in ("7", "8", "9")] == [True, False, True]
    assert dynamo.queries[0]["ExpressionAttributeValues"] == {":pk": {"S": "suspended"}}


def test_an_account_with_a_key_that_is_taken_is_not_suspended() -> None:
    """Its old key is refused; mParticle goes on sending. A second key that is refused as well suspends it."""
    old = suspended(FakeDynamo(listing("7#ab", account_id="7", superseded_ms=5)), [0.0])
    both = suspended(FakeDynamo(listing("7#ab", "7#cd", account_id="7", superseded_ms=0)), [0.0])
    assert ("7" in old, "7" in both, "7#ab" in both) == (False, True, False)


@pytest.mark.parametrize(
    "value",
    [
        {"S": "{}"},
        {"S": "no json"},
        {"S": "[]"},
        {"S": "5"},
        {"N": "5"},
        {"S": json.dumps(WRITTEN | {"probe_at_ms": "soon"})},
        {"S": json.dumps(WRITTEN | {"account_id": ["6"]})},
        {"S": json.dumps(WRITTEN | {"account_id": 6})},
        {"S": json.dumps(WRITTEN | {"fingerprint": None})},
    ],
    ids=str,
)
def test_an_item_that_is_no_suspension_suspends_nobody(value: dict[str, str]) -> None:
    """As for the worker: mParticle goes on sending for its account, and the others' suspensions are known."""
    status, answer = listing("7")  # type: ignore[misc]
    items = [{"sk": {"S": "6"}, "value": value}, {"sk": {"S": "5"}}, *json.loads(answer)["Items"]]
    accounts = suspended(FakeDynamo((status, json.dumps({"Items": items}).encode())), [0.0])
    assert [account in accounts for account in ("5", "6", "7")] == [False, False, True]


def test_table_is_read_once_a_minute_at_most() -> None:
    """However many audience changes come, the table is asked once a minute."""
    dynamo, now = FakeDynamo(listing("7"), listing()), [0.0]
    accounts = suspended(dynamo, now)
    assert all("7" in accounts for _ in range(100))
    now[0] = REFRESH_S
    assert "7" not in accounts
    assert len(dynamo.queries) == 2


@pytest.mark.parametrize(
    "trouble", [TimeoutError(), ConnectionRefusedError(), (400, b"{}"), (200, b"no json"), (200, b"[]"), (200, b"{}")]
)
def test_trouble_with_the_table_suspends_nobody(trouble: Answer) -> None:
    """With the state table down mParticle gets the normal answer, and the table is left alone for a minute."""
    dynamo = FakeDynamo(trouble)
    accounts = suspended(dynamo, [0.0])
    assert "7" not in accounts
    assert "7" not in accounts
    assert len(dynamo.queries) == 1
