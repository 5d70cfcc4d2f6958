import json

import pytest

from ingest_fn.receipts import Receipts
from shared.message import Head
from shared.receipts import RECEIPT_KEPT_S

Answer = tuple[int, bytes] | Exception

HEAD = Head("r-1", "dsr_processing_request", "7", 1_700_000_000_000)
REQUEST = {
    "type": "dsr_processing_request",
    "subject_request_id": "s-1",
    "subject_identities": {"email": {"value": "canary@example.com"}},
}


class FakeDynamo:
    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.puts: list[dict[str, object]] = []

    def call(self, target: str, body: bytes, *, timeout_s: float) -> tuple[int, bytes]:
        assert target == "DynamoDB_20120810.PutItem"
        assert timeout_s <= 0.5
        self.puts.append(json.loads(body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def note(dynamo: FakeDynamo) -> None:
    Receipts(dynamo, "state").accepted(HEAD, REQUEST)  # type: ignore[arg-type]


def test_a_receipt_holds_ids_and_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Which request, whose account, when; nothing of the person, and nothing in the log."""
    dynamo = FakeDynamo((200, b"{}"))
    note(dynamo)
    [put] = dynamo.puts
    assert put["Item"] == {
        "pk": {"S": "dsr#s-1"},
        "sk": {"S": "7 r-1"},
        "rev": {"N": "1"},
        "value": {"S": '{"account_id":"7","request_id":"r-1","accepted_ms":1700000000000}'},
        "expires_at": {"N": str(1_700_000_000 + RECEIPT_KEPT_S)},
    }
    assert "canary" not in json.dumps(put)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (TimeoutError(), "TimeoutError"),
        ((400, b'{"__type":"x#AccessDeniedException"}'), "AccessDeniedException"),
        ((500, b""), "500"),
    ],
)
def test_a_table_that_does_not_take_it_costs_no_erasure(
    answer: Answer, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said in the log, with ids alone, and the request goes on."""
    note(FakeDynamo(answer))
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], line["error"], line["subject_request_id"]) == ("WARNING", problem, "s-1")
    assert "canary" not in json.dumps(line)


def test_a_request_that_comes_again_keeps_its_receipt(capsys: pytest.CaptureFixture[str]) -> None:
    """The receipt may say more by then: it is written only where there is none."""
    dynamo = FakeDynamo((400, b'{"__type":"com.amazonaws#ConditionalCheckFailedException"}'))
    note(dynamo)
    assert dynamo.puts[0]["ConditionExpression"] == "attribute_not_exists(pk)"
    assert capsys.readouterr().out == ""
