"""Powertools' BatchProcessor and a requests.Session: one message after another, as the documentation's first example.

https://docs.powertools.aws.dev/lambda/python/latest/utilities/batch/#processing-messages-from-sqs
"""

from typing import Any

import boto3
import requests
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from calls import calls_of

processor = BatchProcessor(event_type=EventType.SQS)
session = requests.Session()
sqs = boto3.client("sqs")  # a worker needs it to change a visibility timeout


def deliver(record: SQSRecord) -> None:
    for url, headers, body in calls_of(record.body):
        session.post(url, data=body, headers=headers, timeout=10).raise_for_status()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return process_partial_response(event=event, record_handler=deliver, processor=processor, context=context)
