"""Deliveries that travel together by the partner's merge group, beyond the endpoint."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from partners import Bulk, Delivery, Limits
from shared.firehose import Request
from shared.message import to_json
from tests.unit.worker_fn.by_user import ByUser, harness_of, message


class Grouped(ByUser):
    """Merges events of the same name, whichever message they are from."""

    limits = Limits(bulk={"e": Bulk(10)})

    def lane_of(self, request: Request) -> str | None:
        return None

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        for one in super().deliveries(request):
            [event] = json.loads(one.body)
            yield replace(one, merge="e", merge_group=event["name"])

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
        events = [event for one in deliveries for event in json.loads(one.body)]
        return replace(deliveries[0], body=to_json(events))


@pytest.mark.parametrize("names", [("x", "y", "x"), ("x", "x", "y")])
def test_what_travels_together_is_alike_in_its_group(names: tuple[str, ...]) -> None:
    """Deliveries of one group travel together across messages, each message's in order."""
    harness = harness_of(Grouped())
    harness.work([message(0, "ann", *names), message(1, "ben", "y"), message(2, "cid", "x", "x")], receives=1)
    calls = [json.loads(call.body) for call in harness.api.calls]
    assert all(len({event["name"] for event in call}) == 1 for call in calls)
    of_ann = [event["id"] for call in calls for event in call if event["id"].startswith("0.")]
    assert of_ann == ["0.0", "0.1", "0.2"]
    assert len(calls) == {("x", "y", "x"): 4, ("x", "x", "y"): 3}[names]
