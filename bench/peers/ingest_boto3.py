"""The usual ingest: Powertools' Logger and boto3's client, made once, as their documentation shows them.

https://docs.powertools.aws.dev/lambda/python/latest/core/logger/ and boto3's SQS.Client.send_message.
"""

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from splitting import bodies_of

logger = Logger(service="ingest")
sqs = boto3.client("sqs")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    sent = [send(event, body) for body in bodies_of(event)]
    logger.info("accepted", extra={"request_id": event["id"], "messages": sent})
    return {"type": "event_processing_response", "id": event["id"], "timestamp_ms": event["timestamp_ms"]}


def send(event: dict[str, Any], body: str) -> str:
    account = {"DataType": "String", "StringValue": str(event["account"]["account_id"])}
    answer = sqs.send_message(
        QueueUrl=os.environ["QUEUE_URL"], MessageBody=body, MessageAttributes={"account_id": account}
    )
    return answer["MessageId"]
