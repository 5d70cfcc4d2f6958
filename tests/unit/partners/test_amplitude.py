"""Amplitude's calls: where they go, with which keys, what is merged, and what its answers mean."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest

from partners import Result, load_partner
from partners.amplitude import Amplitude
from shared.errors import InvalidRequest, InvalidSettings
from shared.firehose import parse_request, registration_response
from shared.firehose.json_text import decode
from testkit import left_out
from tests.unit.partners.amplitude_requests import SETTINGS, batch, custom, deliveries


def test_key_is_a_secret_field_and_stands_nowhere_else() -> None:
    """Body, headers and what is printed of a delivery hold no credential."""
    [delivery] = deliveries(batch(custom()))
    assert delivery.secret_fields["api_key"].value == "key-canary"
    assert b"canary" not in delivery.body
    assert "canary" not in repr(delivery)


def erasure(settings: dict[str, str] | None = None, **identities: Any) -> dict[str, Any]:
    return {
        "type": "dsr_processing_request",
        "id": "r-3",
        "subject_request_id": "dsr-1",
        "subject_request_type": "erasure",
        "account": {"account_id": 7, "account_settings": SETTINGS if settings is None else settings},
        "subject_identities": {name: {"value": value, "encoding": "raw"} for name, value in identities.items()},
    }


def test_erasure_is_a_deletion_by_user_id() -> None:
    """With the project's own credentials, and who asked for it."""
    [delivery] = deliveries(erasure(controller_customer_id="ann-1"))
    assert delivery.url == "https://amplitude.com/api/2/deletions/users"
    assert json.loads(delivery.body) == {
        "user_ids": ["ann-1"],
        "requester": "mParticle dsr-1",
        "ignore_invalid_id": "true",
    }
    scheme, _, login = delivery.secret_headers["Authorization"].value.partition(" ")
    assert (scheme, base64.b64decode(login)) == ("Basic", b"key-canary:secret-canary")


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (erasure({"apiKey": "k"}, controller_customer_id="ann-1"), "account.account_settings.secretKey"),
        ({**erasure(controller_customer_id="ann-1"), "account": None}, "account.account_settings.apiKey"),
    ],
)
def test_erasure_that_can_not_be_asked_for_is_no_success(request_: dict[str, Any], problem: str) -> None:
    """Without the keys nobody can ask: it is dead-lettered, and says which is missing."""
    with pytest.raises(InvalidRequest, match=problem):
        deliveries(request_)


def test_erasure_by_an_id_that_amplitude_does_not_know_is_not_forwarded() -> None:
    """No call is made that would look like success; the receipt says so."""
    hashed = erasure(controller_customer_id="a" * 64)
    hashed["subject_identities"]["controller_customer_id"]["encoding"] = "sha256"
    by_mpid = erasure({**SETTINGS, "userIdField": "mpid"}, controller_customer_id="ann-1")
    for request in (erasure(email="ann@example.com"), hashed, by_mpid):
        assert deliveries(request) == []
        parsed = parse_request(json.dumps(request))
        assert left_out(Amplitude(), parsed) == [("erasure", "no identity by which Amplitude knows the user")]


def test_region_decides_the_hosts() -> None:
    """us unless it is said otherwise; what is neither is refused by name."""
    env = {"PARTNER": "partners.amplitude", "AMPLITUDE_REGION": "eu"}
    partner = load_partner(env)
    urls = [
        one.url
        for request in (batch(custom()), erasure(controller_customer_id="a"))
        for one in partner.deliveries(parse_request(request))
    ]
    assert urls == ["https://api.eu.amplitude.com/batch", "https://analytics.eu.amplitude.com/api/2/deletions/users"]
    with pytest.raises(InvalidSettings, match="AMPLITUDE_REGION must be one of us, eu"):
        load_partner({**env, "AMPLITUDE_REGION": "mars"})


def test_registration_asks_for_what_the_mapping_reads() -> None:
    """Keys are confidential, and the secret key is asked for where users are erased."""
    told = registration_response(Amplitude().registration(), id="i", timestamp_ms=1)
    settings = {one["id"]: one for one in told["dsr_processing_registration"]["account_settings"]}
    assert list(settings) == ["apiKey", "secretKey", "userIdField"]
    assert settings["apiKey"]["confidential"]
    assert settings["secretKey"]["confidential"]
    events = [one["id"] for one in told["event_processing_registration"]["account_settings"]]
    assert events == ["apiKey", "userIdField"]


def test_events_are_merged_as_they_are() -> None:
    """A bulk call is the events of its deliveries, byte by byte, with the key still apart."""
    several = deliveries(batch(custom("a"), custom("b", attributes={"n": "1.10"})))
    merged = Amplitude().merge(several, ["k1", "k2"])
    content = decode(merged.body)
    assert content["events"] == [decode(one.body)["events"][0] for one in several]
    assert content["options"] == {"min_id_length": 1}
    assert merged.secret_fields == several[0].secret_fields
    assert len(merged.body) <= sum(len(one.body) for one in several)


def results(status: int, answer: Any, count: int = 4) -> Sequence[Result] | None:
    several = deliveries(batch(*(custom(str(place)) for place in range(count))))
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return Amplitude().read_response(several, status, body)


WRONG, WAITS, AGAIN = Result.REJECTED, Result.RETRY, Result.AGAIN


@pytest.mark.parametrize(
    ("status", "answer", "meant"),
    [
        (400, {"events_with_invalid_fields": {"time": [1, 3]}}, [AGAIN, WRONG, AGAIN, WRONG]),
        (
            400,
            {"events_with_invalid_fields": {"time": [0]}, "events_with_missing_fields": {"event_type": [1], "x": [1]}},
            [WRONG, WRONG, AGAIN, AGAIN],
        ),
        (400, {"events_with_invalid_id_lengths": {"user_id": [2]}}, [AGAIN, AGAIN, WRONG, AGAIN]),
        (400, {"silenced_events": [0], "throttled_events": [0, 1]}, [WRONG, WAITS, AGAIN, AGAIN]),
        (429, {"throttled_events": [2]}, [AGAIN, AGAIN, WAITS, AGAIN]),
        (429, {"throttled_events": [0, 1, 2, 3]}, [WAITS] * 4),
        (429, {"throttled_users": {"ann-1": 2_000}}, [WAITS] * 4),
        (429, {"exceeded_daily_quota_devices": {"VENDOR-1": 600_000}}, [WAITS] * 4),
        (429, {"events_with_invalid_fields": {"time": [1]}, "throttled_events": [2]}, [AGAIN, AGAIN, WAITS, AGAIN]),
        (400, {"code": 400, "error": "Invalid API key: abc"}, [Result.UNAUTHORIZED] * 4),
        (400, {"error": "Invalid API key"}, [Result.UNAUTHORIZED] * 4),
    ],
)
def test_answer_is_taken_apart(status: int, answer: Any, meant: list[Result]) -> None:
    """Who is wrong is refused, who is too fast waits, all others are sent again."""
    assert results(status, answer) == meant


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {"code": 200, "events_ingested": 4}),
        (200, b""),
        (400, {"error": "Invalid JSON request body"}),
        (400, {"events_with_invalid_fields": {"time": [9, -1, "1", True, None, 1.0]}}),
        (400, {"events_with_invalid_fields": [{"time": [1]}], "throttled_users": ["ann-1"], "throttled_events": "12"}),
        (400, []),
        (413, {"code": 413, "error": "Payload too large"}),
        (429, {"throttled_users": {"somebody-else": 1}}),
        (503, b"<html>"),
    ],
)
def test_answer_that_names_no_event_is_left_to_its_status(status: int, answer: Any) -> None:
    """Nothing is concluded from what is not there, out of range or of another type."""
    assert results(status, answer) is None


def test_answer_to_a_deletion_is_left_to_its_status() -> None:
    """It is no batch of events."""
    body = json.dumps({"throttled_events": [0]}).encode()
    assert Amplitude().read_response(deliveries(erasure(controller_customer_id="a")), 429, body) is None
