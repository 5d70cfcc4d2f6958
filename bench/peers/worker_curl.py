"""The limit: libcurl's multi interface, a message's text as the body of a call; nothing is read or checked."""

import asyncio
import os
from typing import Any

import pycurl

IN_FLIGHT = int(os.environ["MAX_IN_FLIGHT"])
URL = os.environ["BENCH_LIMIT_URL"]
HEADERS = ["Content-Type: application/json", "Expect:"]

loop = asyncio.new_event_loop()
multi = pycurl.AsyncCurlMulti()
multi.setopt(pycurl.M_MAXCONNECTS, IN_FLIGHT)


def handle() -> pycurl.Curl:
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, URL)
    curl.setopt(pycurl.HTTPHEADER, HEADERS)
    curl.setopt(pycurl.CAINFO, os.environ["SSL_CERT_FILE"])
    curl.setopt(pycurl.WRITEFUNCTION, len)
    return curl


handles = [handle() for _ in range(IN_FLIGHT)]


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    loop.run_until_complete(deliver([record["body"].encode() for record in event["Records"]]))
    return {"batchItemFailures": []}


async def deliver(bodies: list[bytes]) -> None:
    await asyncio.gather(*(one_by_one(curl, bodies) for curl in handles))


async def one_by_one(curl: pycurl.Curl, bodies: list[bytes]) -> None:
    """Send the bodies that are left, one after another, until none is."""
    while bodies:
        curl.setopt(pycurl.POSTFIELDS, bodies.pop())
        await multi.perform(curl)
        if curl.getinfo(pycurl.RESPONSE_CODE) != 200:
            raise RuntimeError("the call failed")
