"""A partner without fault, to be spoilt by each test in one way."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from ops.partner.trial import Trial, run
from partners import Bulk, Delivery, Limits, Partner, Result, Secret
from shared.errors import InvalidRequest
from shared.firehose import (
    AudienceMembershipChangeRequest,
    AudienceProcessingRegistration,
    DsrProcessingRegistration,
    DsrProcessingRequest,
    EnvironmentType,
    EventProcessingRegistration,
    EventProcessingRequest,
    EventType,
    Registration,
    Request,
    SubjectRequestType,
    TextSetting,
)
from shared.message import to_json


class Good(Partner):
    """Keeps every promise: single and bulk calls, a secret, answers that it reads."""

    name = "good"
    limits = Limits(bulk={"bulk": Bulk(5, 100_000)})

    def registration(self) -> Registration:
        settings = [TextSetting(id="apiKey", name="API key", required=True, confidential=True)]
        return Registration(
            name="Good",
            version="1",
            event_processing_registration=EventProcessingRegistration(
                account_settings=settings,
                supported_event_types=[EventType.CUSTOM_EVENT],
                supported_runtime_environments=list(EnvironmentType),
            ),
            audience_processing_registration=AudienceProcessingRegistration(account_settings=settings),
            dsr_processing_registration=DsrProcessingRegistration(
                account_settings=settings, supported_dsr_types=[SubjectRequestType.ERASURE]
            ),
        )

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        if isinstance(request, EventProcessingRequest):
            for index, event in enumerate(request.events):
                yield self.call(request, event.raw, event.id or f"events[{index}]", merge="bulk")
        elif isinstance(request, AudienceMembershipChangeRequest):
            for index, profile in enumerate(request.user_profiles):
                yield self.call(request, profile.raw, f"profiles[{index}]")
        elif isinstance(request, DsrProcessingRequest):
            yield self.call(request, {"id": request.id}, "erasure")

    def call(self, request: Any, content: Any, item: str, **more: Any) -> Delivery:
        account = request.account
        key = account.account_settings.get("apiKey") if account else None
        if not key:
            raise InvalidRequest("missing", "account.account_settings.apiKey")
        fields: dict[str, Any] = {
            "url": "https://api.good.example/v1/events",
            "body": to_json(content),
            "item": item,
            "headers": {"Content-Type": "application/json"},
            "secret_headers": {"Authorization": Secret(f"Bearer {key}")},
        }
        return Delivery(**{**fields, **more})

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
        body = b'{"events":[' + b",".join(one.body for one in deliveries) + b"]}"
        return Delivery(
            "https://api.good.example/v1/bulk",
            body,
            "bulk",
            headers={"Content-Type": "application/json"},
            secret_headers=deliveries[0].secret_headers,
        )

    def read_response(self, deliveries: Sequence[Delivery], status: int, body: bytes) -> Sequence[Result] | None:
        if status != 200:
            return None
        try:
            failed = json.loads(body)["failed"]
            return [Result.REJECTED if index in failed else Result.DELIVERED for index in range(len(deliveries))]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


@pytest.fixture
def good() -> type[Good]:
    return Good


@pytest.fixture
def found() -> Any:
    """What a trial finds, by id: the problem and where it showed."""

    def ids(partner: Partner, **options: Any) -> dict[str, tuple[str, list[str]]]:
        trial = tried(partner, **options)
        return {fault.id: (fault.problem, places) for fault, places in trial.seen.items()}

    return ids


def tried(partner: Partner, *, samples: Any = None, count: int = 2, backwards: bool = False) -> Trial:
    return run(partner, samples or {}, count=count, seed=0, backwards=backwards)
