"""The stub of AWS does what the worker's calls ask for."""

import hashlib
from typing import Any

import orjson

from bench.stand.aws_answers import AwsAnswers


def ask(aws: AwsAnswers, operation: str, **asked: Any) -> tuple[int, dict[str, Any]]:
    kind, status, answer, after_s = aws.answer("/", {b"x-amz-target": f"X.{operation}".encode()}, orjson.dumps(asked))
    assert (kind, after_s) == (operation, 0) or status == 400
    return status, orjson.loads(answer)


KEY = {"pk": {"S": "partner"}, "sk": {"S": "mapping"}}


def test_a_send_is_confirmed_with_the_digest_of_its_body() -> None:
    """Ingest believes nothing else."""
    status, said = ask(AwsAnswers(), "SendMessage", MessageBody="hello")
    assert (status, said["MD5OfMessageBody"]) == (200, hashlib.md5(b"hello").hexdigest())


def test_an_update_sets_adds_and_removes_and_is_read_again() -> None:
    """The three verbs of shared/state/dynamo.py, with values that are set only where there are none."""
    aws = AwsAnswers()
    names = {f"#{name}": name for name in ("rev", "value", "calls", "old")}
    values = {":value": {"S": "{}"}, ":rev": {"N": "1"}, ":calls": {"N": "2"}}
    expression = "SET #value = :value, #rev = if_not_exists(#rev, :rev) ADD #calls :calls REMOVE #old"
    for _ in range(2):
        ask(
            aws, "UpdateItem", Key=KEY, UpdateExpression=expression,
            ExpressionAttributeNames=names, ExpressionAttributeValues=values,
        )  # fmt: skip
    _, said = ask(aws, "GetItem", Key=KEY)
    assert said["Item"] == {**KEY, "value": {"S": "{}"}, "rev": {"N": "1"}, "calls": {"N": "4"}}
    _, listed = ask(aws, "Query", ExpressionAttributeValues={":pk": {"S": "partner"}})
    assert listed["Items"] == [said["Item"]]


def test_a_condition_that_does_not_hold_is_refused_with_the_row() -> None:
    """Optimistic writes meet a conflict here as they do on AWS."""
    aws = AwsAnswers()

    def swap(condition: str, **values: str) -> int:
        given = {f":{name}": {"N": value} for name, value in values.items()}
        return ask(
            aws, "UpdateItem", Key=KEY, UpdateExpression="SET #rev = :rev", ConditionExpression=condition,
            ExpressionAttributeNames={"#rev": "rev"}, ExpressionAttributeValues=given,
        )[0]  # fmt: skip

    assert swap("attribute_not_exists(#rev)", rev="1") == 200
    assert swap("attribute_not_exists(#rev)", rev="1") == 400
    assert swap("#rev = :known", rev="2", known="1") == 200
    assert swap("#rev = :known", rev="2", known="1") == 400
    assert swap("attribute_not_exists(#rev) OR #rev < :rev", rev="3") == 200
    assert swap("attribute_not_exists(#rev) OR #rev < :rev", rev="3") == 400


def test_answers_come_after_the_latency_that_is_asked_for() -> None:
    """As AWS is across a network, for what is billed by time."""
    asked = {b"x-amz-target": b"AmazonSQS.SendMessage"}
    assert AwsAnswers(0.01).answer("/", asked, b'{"MessageBody": "hello"}')[3] == 0.01


def test_an_operation_that_the_stub_has_not_is_counted_as_that() -> None:
    """A benchmark that calls something new finds out."""
    kind, status, *_ = AwsAnswers().answer("/", {b"x-amz-target": b"X.Scan"}, b"{}")
    assert (kind, status) == ("unknown Scan", 400)
