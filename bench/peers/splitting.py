"""A request as texts that SQS takes: whole, or its events in slices of less than 1 MiB."""

import json
from collections.abc import Iterator
from typing import Any

MOST_BYTES = 1_000_000


def bodies_of(event: dict[str, Any]) -> Iterator[str]:
    whole = json.dumps(event)
    slices = len(whole) // MOST_BYTES + 1
    if slices == 1:
        yield whole
        return
    events = event["events"]
    step = -(-len(events) // slices)
    for start in range(0, len(events), step):
        yield json.dumps({**event, "events": events[start : start + step]})
