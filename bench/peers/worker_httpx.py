"""Powertools' AsyncBatchProcessor over one httpx.AsyncClient, as many calls at once as it has connections.

https://docs.powertools.aws.dev/lambda/python/latest/utilities/batch/#processing-messages-asynchronously
"""

import asyncio
import os
from typing import Any

import httpx
from aws_lambda_powertools.utilities.batch import AsyncBatchProcessor, EventType, async_process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from calls import calls_of

IN_FLIGHT = int(os.environ["MAX_IN_FLIGHT"])
processor = AsyncBatchProcessor(event_type=EventType.SQS)
limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
client = httpx.AsyncClient(limits=limits, timeout=10)
room = asyncio.Semaphore(IN_FLIGHT)


async def deliver(record: SQSRecord) -> None:
    async with room:
        for url, headers, body in calls_of(record.body):
            (await client.post(url, content=body, headers=headers)).raise_for_status()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return async_process_partial_response(event=event, record_handler=deliver, processor=processor, context=context)
