"""The state table by signed calls, over a scripted HTTP client."""

import asyncio
import json
from typing import Any

import pytest

from shared.errors import StateRefused, StateThrottled, StateUnavailable
from shared.partner_http import Answer, Request
from shared.sigv4 import Credentials, signed_headers
from shared.state import Conflict, Item
from worker_fn.clients.signed_state import SignedState

ROW = {"pk": {"S": "a"}, "sk": {"S": "b"}, "rev": {"N": "3"}, "value": {"S": '{"x":1.5}'}, "n": {"N": "7"}}
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


def answer(status: int, content: object) -> Answer:
    return Answer(status, body=json.dumps(content).encode(), headers={"date": DATE})


def refusal(code: str, status: int = 400, **more: Any) -> Answer:
    return answer(status, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "canary", **more})


class Table:
    """Gives scripted answers, and repeats the last one."""

    def __init__(self, *answers: Answer, endpoint: str = "https://dynamodb.eu-west-1.amazonaws.com") -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.dates: list[str] = []
        self.state = SignedState(
            self.make,
            "state",
            endpoint=endpoint,
            region="eu-west-1",
            credentials=lambda: Credentials("key", "canary-secret", "token"),
            on_date=lambda _asked, _heard, date: self.dates.append(date),
        )

    async def make(self, request: Request, _timeout_s: float) -> Answer:
        self.requests.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def test_an_item_is_asked_for_by_a_signed_call() -> None:
    """Operation, table and key are as in DynamoDB's API; the answer's time is given to the fleet's clock."""
    table = Table(answer(200, {"Item": ROW}))
    assert asyncio.run(table.state.read("a", "b")) == Item(3, {"x": 1.5}, {"n": 7})
    [request] = table.requests
    assert json.loads(request.body) == {
        "TableName": "state",
        "Key": {"pk": {"S": "a"}, "sk": {"S": "b"}},
        "ConsistentRead": True,
    }
    headers = dict(line.decode().split(": ", 1) for line in request.headers if b": " in line)
    assert (request.method, request.url) == ("POST", "https://dynamodb.eu-west-1.amazonaws.com/")
    assert headers["x-amz-target"] == "DynamoDB_20120810.GetItem"
    assert headers["x-amz-security-token"] == "token"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=key/")
    assert "canary-secret" not in str(request.headers)
    assert table.dates == [DATE]


def test_what_another_wrote_first_comes_with_the_refusal() -> None:
    """The refusal has the item that another writer wrote first, so nobody has to read it again."""
    table = Table(refusal("ConditionalCheckFailedException", Item=ROW))
    with pytest.raises(Conflict) as conflict:
        asyncio.run(table.state.swap("a", "b", Item(2), {}, expires_at=None))
    assert conflict.value.current == Item(3, {"x": 1.5}, {"n": 7})


@pytest.mark.parametrize(
    ("said", "expected", "calls"),
    [
        (refusal("ValidationException"), StateRefused, 1),
        (refusal("ProvisionedThroughputExceededException"), StateThrottled, 1),
        (refusal("AccessDeniedException"), StateUnavailable, 1),
        (refusal("ResourceNotFoundException"), StateUnavailable, 1),
        (refusal("InternalServerError", 500), StateUnavailable, 2),
        (Answer(503, body=b"<html>canary</html>"), StateUnavailable, 2),
        (Answer(200, body=b"canary"), StateUnavailable, 1),
        (Answer(200, body=b"[]"), StateUnavailable, 1),
        (Answer(200, body=b'{"Item"', is_whole=False), StateUnavailable, 1),
        (Answer(fault="timeout"), StateUnavailable, 2),
        (Answer(fault="connection"), StateUnavailable, 2),
        (Answer(fault="frozen"), StateUnavailable, 2),
    ],
)
def test_what_dynamodb_says_is_told_from_an_outage(said: Answer, expected: type[Exception], calls: int) -> None:
    """A refusal concerns only its call; a table that does not answer, or fails, is asked once more."""
    table = Table(said)
    with pytest.raises(StateUnavailable) as raised:
        asyncio.run(table.state.read("a", "b"))
    assert type(raised.value) is expected
    assert "canary" not in str(raised.value)
    assert len(table.requests) == calls


def test_a_call_that_was_lost_is_made_again() -> None:
    """A call without an answer is made again, and the second answer counts."""
    table = Table(Answer(fault="connection"), answer(200, {}))
    assert asyncio.run(table.state.read("a", "b")) == Item()


def test_without_credentials_the_table_is_out_of_reach() -> None:
    """Without credentials the table counts as out of reach, and the batch goes on."""

    def none() -> Credentials:
        raise RuntimeError("canary")

    table = Table(answer(200, {}))
    state = SignedState(table.make, "t", endpoint="https://d.example", region="r", credentials=none)
    with pytest.raises(StateUnavailable) as raised:
        asyncio.run(state.read("a", "b"))
    assert "canary" not in str(raised.value)
    assert table.requests == []


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("https://dynamodb.eu-west-1.amazonaws.com:443", "dynamodb.eu-west-1.amazonaws.com"),
        ("https://DynamoDB.eu-west-1.amazonaws.com/", "dynamodb.eu-west-1.amazonaws.com"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
    ],
)
def test_the_host_is_signed_as_the_client_writes_it(endpoint: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signed host has no usual port and is in small letters, as the client sends it: otherwise DynamoDB would
    refuse every call.
    """
    signed: list[str] = []

    def signing(*one: Any, host: str, **more: Any) -> dict[str, str]:
        signed.append(host)
        return signed_headers(*one, host=host, **more)

    monkeypatch.setattr("worker_fn.clients.signed_state.signed_headers", signing)
    table = Table(answer(200, {"Item": ROW}), endpoint=endpoint)
    asyncio.run(table.state.read("a", "b"))
    [request] = table.requests
    assert signed == [host]
    assert request.url == f"{endpoint.partition(':')[0]}://{host}/"


@pytest.mark.parametrize(
    "said",
    [
        Answer(200, body=b"[" * 900_000),
        answer(200, {"Item": ["x"]}),
        answer(200, {"Item": {"rev": None}}),
        answer(200, {"Item": {"rev": {"N": "1.5"}}}),
        answer(200, {"Item": {"rev": {"N": "1"}, "value": {"S": "{"}}}),
        answer(200, {"Item": {"rev": {"N": "1"}, "value": {"S": "[1]"}}}),
        answer(200, {"Item": {"rev": {"N": "1"}, "n": 5}}),
    ],
)
def test_an_answer_that_is_no_item_is_an_item_that_cannot_be_had(said: Answer) -> None:
    """An answer that is no item, after an edit by hand for example, counts as a table out of reach."""
    with pytest.raises(StateUnavailable):
        asyncio.run(Table(said).state.read("a", "b"))
