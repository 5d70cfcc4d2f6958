"""The requests that the bench sends."""

import json

import pytest

from bench.payloads import request_of, single_events


@pytest.mark.parametrize("size_bytes", [2_000, 32_000, 254_000])
@pytest.mark.parametrize("random", [False, True])
def test_a_request_is_as_large_as_asked_for(size_bytes: int, random: bool) -> None:
    """Within a tenth, and of events that each have an id of their own."""
    text = request_of(size_bytes, random=random)
    assert 0.9 <= len(text) / size_bytes <= 1.1
    ids = [event["id"] for event in json.loads(text)["events"]]
    assert len(set(ids)) == len(ids)


def test_single_events_are_one_event_of_another_user_each() -> None:
    """Nothing else in a request becomes a call of its own, and all are one account's, so they can be merged."""
    made = single_events(20)
    assert {len(one["events"]) for one in made} == {1}
    assert not any("system_notifications" in one for one in made)
    assert len({str(one["mpid"]) for one in made}) == 20
    assert all(one["account"] == made[0]["account"] for one in made)
