"""The usual ingest at its leanest: json and boto3 and nothing else."""

import os
from typing import Any

import boto3

from splitting import bodies_of

sqs = boto3.client("sqs")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    for body in bodies_of(event):
        sqs.send_message(QueueUrl=os.environ["QUEUE_URL"], MessageBody=body)
    return {"type": "event_processing_response", "id": event["id"], "timestamp_ms": event["timestamp_ms"]}
