"""The state table, on any server that answers as DynamoDB does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def state_table(dynamo: Any, name: str = "state") -> Iterator[None]:
    """A table with the keys that serverless.yml gives it; it is deleted after the test."""
    dynamo.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    yield
    dynamo.delete_table(TableName=name)
