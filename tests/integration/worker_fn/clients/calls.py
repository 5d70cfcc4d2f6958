"""Calls of the worker's client, one after the other."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from partners import Delivery
from worker_fn.clients.http import Answer, HttpClient


class Client:
    """The worker's client on a loop of its own."""

    def __init__(self, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.http = HttpClient(**{"max_in_flight": 4, "connect_timeout_s": 1.0, **options})

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def close(self) -> None:
        self.run(self.http.aclose())
        self.loop.close()


def send(http: Client, url: str, timeout_s: float = 5.0, **delivery: Any) -> Answer:
    call = Delivery(**{"url": f"{url}/e", "body": b"{}", "item": "e", **delivery})
    return http.run(http.http.send(call, "key-1", timeout_s))
