import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError

from shared.errors import StateRefused, StateThrottled, StateUnavailable
from shared.state import DynamoState, Item


class Client:
    """A boto3 client that fails."""

    class exceptions:  # noqa: N801 - boto3's own name
        class ConditionalCheckFailedException(ClientError): ...

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_item(self, **_: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ClientError({"Error": {"Code": "ValidationException"}}, "GetItem"), StateRefused),
        (ClientError({"Error": {"Code": "ItemCollectionSizeLimitExceededException"}}, "PutItem"), StateRefused),
        (ClientError({"Error": {"Code": "SerializationException"}}, "PutItem"), StateRefused),
        (ParamValidationError(report="canary"), StateRefused),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "canary"), StateRefused),
        (ClientError({"Error": {"Code": "ThrottlingException"}}, "GetItem"), StateThrottled),
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetItem"), StateUnavailable),
        (ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetItem"), StateUnavailable),
        (ClientError({"Error": {"Code": "InternalServerError"}}, "GetItem"), StateUnavailable),
        (EndpointConnectionError(endpoint_url="canary"), StateUnavailable),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(getattr(value, "response", value))[:60],
)
def test_what_dynamodb_says_of_one_call_is_told_from_an_outage(error: Exception, expected: type[Exception]) -> None:
    """A refusal is this call's own; a table that is gone or closed to us takes none, as one that does not answer."""
    with pytest.raises(StateUnavailable) as raised:
        asyncio.run(DynamoState(Client(error), "t").read("a", "b"))
    assert type(raised.value) is expected
    assert "canary" not in str(raised.value)


class Listed:
    """A boto3 client whose table holds these rows."""

    exceptions = Client.exceptions

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def query(self, **_: Any) -> Any:
        return {"Items": self.rows, "ResponseMetadata": {"HTTPHeaders": {}}}

    scan = query


@pytest.mark.parametrize(
    "odd",
    [
        {"value": {"S": "no JSON"}},
        {"value": {"S": "5"}},
        {"value": {"N": "5"}},
        {"value": {"M": {}}},
        {"rev": {"S": "1"}},
        {"w1": {"N": "1.5"}},
    ],
    ids=str,
)
def test_a_row_that_is_no_item_does_not_hide_the_others(odd: dict[str, Any]) -> None:
    """It is left out of what is listed under a key, and of what begins so."""
    rows = [{"pk": {"S": "a"}, "sk": {"S": "odd"}, **odd}]
    rows.append({"pk": {"S": "a"}, "sk": {"S": "ours"}, "rev": {"N": "3"}, "value": {"S": '{"x": 1}'}})
    state = DynamoState(Listed(rows), "t")
    assert asyncio.run(state.listed("a")) == {"ours": Item(3, {"x": 1})}
    assert asyncio.run(state.under("a")) == {("a", "ours"): Item(3, {"x": 1})}
