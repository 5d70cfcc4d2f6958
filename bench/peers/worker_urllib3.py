"""A thread for each connection over urllib3 alone, which requests stands on; one TLS context for all.

https://urllib3.readthedocs.io/en/stable/user-guide.html
"""

import os
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import urllib3

from calls import calls_of

IN_FLIGHT = int(os.environ["MAX_IN_FLIGHT"])
pool = urllib3.PoolManager(maxsize=IN_FLIGHT, block=True, ssl_context=ssl.create_default_context())
threads = ThreadPoolExecutor(IN_FLIGHT)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    failed = [message_id for message_id in threads.map(deliver, event["Records"]) if message_id]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def deliver(record: dict[str, Any]) -> str | None:
    """The message's id, if it has to come back."""
    for url, headers, body in calls_of(record["body"]):
        if pool.request("POST", url, body=body, headers=headers, timeout=10).status >= 300:
            return record["messageId"]
    return None
