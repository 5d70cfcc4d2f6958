"""Requests of each kind, parsed, of nothing but what a test is about."""

from typing import Any

from shared.firehose import (
    AudienceMembershipChangeRequest,
    DsrProcessingRequest,
    EventProcessingRequest,
    parse_request,
)


def events_request(*events: Any, **fields: Any) -> EventProcessingRequest:
    request = parse_request({"type": "event_processing_request", "events": list(events), **fields})
    assert isinstance(request, EventProcessingRequest)
    return request


def profiles_request(*profiles: Any) -> AudienceMembershipChangeRequest:
    request = parse_request({"type": "audience_membership_change_request", "user_profiles": list(profiles)})
    assert isinstance(request, AudienceMembershipChangeRequest)
    return request


def dsr_request(**fields: Any) -> DsrProcessingRequest:
    request = parse_request({"type": "dsr_processing_request", **fields})
    assert isinstance(request, DsrProcessingRequest)
    return request
