"""The first half of an erasure's receipt: that it was accepted, written before mParticle is answered.

It costs one more call, but only for erasures, which are rare. So an erasure can be accounted for even while its message
waits in a paused queue. If the table does not answer, the erasure is still accepted, and the worker writes the receipt.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.aws_http import AwsHttp, error_code
from shared.message import Head
from shared.receipts import RECEIPT_KEPT_S, Receipt, receipt_key, receipt_name, subject_of
from shared.telemetry import log

RECEIPT_TIMEOUT_S = 0.5
"""mParticle asks for 200 ms in 99% of its calls; erasures are far fewer than the remaining 1%."""


class Receipts:
    """Writes items as shared.state reads them."""

    def __init__(self, dynamodb: AwsHttp, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def accepted(self, head: Head, request: Mapping[str, Any]) -> None:
        """Write the receipt of an erasure that is queued; an existing receipt stays as it is. Never raises."""
        receipt = Receipt(subject_of(request, head.id), head.id, head.account_id, head.received_at_ms)
        problem = self._put(receipt)
        if problem and problem != "ConditionalCheckFailedException":
            ids = {"request_id": head.id, "subject_request_id": receipt.subject_request_id}
            log(
                "WARNING",
                "an erasure was accepted, its receipt not yet written",
                service="ingest",
                error=problem,
                **ids,
            )

    def _put(self, receipt: Receipt) -> str | None:
        """Write the receipt; returns the problem, if there was one."""
        body = orjson.dumps(
            {
                "TableName": self._table,
                "Item": {
                    "pk": {"S": receipt_key(receipt.subject_request_id)},
                    "sk": {"S": receipt_name(receipt.account_id, receipt.request_id)},
                    "rev": {"N": "1"},
                    "value": {"S": orjson.dumps(receipt.value()).decode()},
                    "expires_at": {"N": str(receipt.accepted_ms // 1_000 + RECEIPT_KEPT_S)},
                },
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        )
        try:
            status, answer = self._dynamodb.call("DynamoDB_20120810.PutItem", body, timeout_s=RECEIPT_TIMEOUT_S)
        except OSError as error:
            return type(error).__name__
        return None if status == 200 else error_code(answer) or str(status)
