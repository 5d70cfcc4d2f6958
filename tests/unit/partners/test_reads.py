"""A partner that says which fields it reads makes the same calls as if it read all of them."""

from typing import Any

import pytest

from partners import Delivery, LeftOut, Partner
from partners.iterable import Iterable
from partners.reading import one_by_one
from partners.webhook import Webhook
from shared.errors import InvalidRequest, Unmappable
from shared.firehose import parse_request
from shared.message import QUEUED_TYPES
from testkit.requests import EVENT_TYPES, make_request

PARTNERS = [
    Iterable.from_env({}),
    Iterable.from_env({"ITERABLE_MODE": "bulk"}),
    Webhook.from_env({"WEBHOOK_URL": "https://partner.example/hook"}),
]


def mapped(partner: Partner, content: Any, only: Any) -> list[Delivery | LeftOut | str | None]:
    request = parse_request(content, only=only)
    try:
        return [partner.lane_of(request), *partner.deliveries(request)]
    except InvalidRequest as error:
        return [str(error)]


@pytest.mark.parametrize("partner", PARTNERS, ids=lambda one: one.name)
@pytest.mark.parametrize("kind", QUEUED_TYPES)
def test_what_a_partner_does_not_read_makes_no_difference(kind: str, partner: Partner) -> None:
    """Requests of every kind, event and environment, with the settings that turn everything on."""
    settings = {"apiKey": "k", "coerceStringsToScalars": "true", "secretKey": "s", "gcmIntegrationName": "g"}
    assert partner.reads is not None
    for seed in range(3 * len(EVENT_TYPES)):
        content = make_request(kind, seed=seed, settings=settings)
        assert mapped(partner, content, partner.reads) == mapped(partner, content, None)


class Mine(Webhook):
    """A subclass that reads more than the webhook does, event by event."""

    def deliveries(self, request: Any) -> Any:
        def call_of(item: str, _: str) -> Any:
            yield Delivery(f"https://partner.example/{len(request.user_identities)}", b"", item)

        return one_by_one([("1", "one"), ("2", "two")], call_of)


def test_a_field_that_is_read_and_not_declared_is_never_an_empty_one() -> None:
    """The whole message is dead-lettered with the field's name: no part is left out, no value is lost."""
    content = make_request("event_processing_request", seed=1)
    partner = Mine.from_env({"WEBHOOK_URL": "https://partner.example/hook"})
    assert content["user_identities"]
    with pytest.raises(Unmappable, match="`user_identities`"):
        mapped(partner, content, partner.reads)
    assert len(mapped(partner, content, None)) == 3
