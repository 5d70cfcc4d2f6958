"""A thread for each connection, and a requests.Session that all threads share, with a connection for each of them.

https://requests.readthedocs.io/en/latest/user/advanced/#session-objects
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from calls import calls_of

IN_FLIGHT = int(os.environ["MAX_IN_FLIGHT"])
session = requests.Session()
session.mount("https://", HTTPAdapter(pool_maxsize=IN_FLIGHT))
threads = ThreadPoolExecutor(IN_FLIGHT)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    failed = [message_id for message_id in threads.map(deliver, event["Records"]) if message_id]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def deliver(record: dict[str, Any]) -> str | None:
    """The message's id, if it has to come back."""
    try:
        for url, headers, body in calls_of(record["body"]):
            session.post(url, data=body, headers=headers, timeout=10).raise_for_status()
    except requests.RequestException:
        return record["messageId"]
    return None
