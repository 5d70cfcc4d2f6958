"""A partner whose API is like some that are: lists of several kinds in one call, each with a limit of its own; what is
left of the rate in headers; a host for each region, which the customer chooses. It checks partners/base.py by that.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from partners.base import Bulk, Delivery, LeftOut, Limits, Partner, Rate, RateHeaders, Secret
from partners.reading import first_of, in_time_order, json_object, one_by_one, truncated, values_of
from partners.settings import credential, host_of, settings_of
from partners.writing import iso8601, present, to_json
from shared import firehose as mp

HOSTS = {"us-01": "https://rest.iad-01.brazelike.example", "eu-01": "https://rest.fra-01.brazelike.example"}
KINDS = {"attributes": 75, "events": 75, "purchases": 75}
TRACK = Bulk(sum(KINDS.values()), 4_000_000, kinds=KINDS)


@dataclass(frozen=True)
class Brazelike(Partner):
    name = "brazelike"
    limits = Limits(
        account_rate=Rate(50_000, 60),
        bulk={"users/track": TRACK},
        rate_headers=RateHeaders("X-RateLimit-Remaining", "X-RateLimit-Reset", "epoch_s"),
    )

    def registration(self) -> mp.Registration:
        settings = [
            mp.TextSetting(id="apiKey", name="API key", required=True, confidential=True),
            mp.TextSetting(id="region", name="Region", default_value="us-01", description=", ".join(HOSTS)),
        ]
        return mp.Registration(
            name="Brazelike",
            version="1.0.0",
            description="Sends events, purchases and attributes.",
            permissions=mp.Permissions(
                user_identities=[mp.UserIdentityPermission(type=mp.UserIdentityType.CUSTOMER)],
                allow_user_attributes=True,
            ),
            event_processing_registration=mp.EventProcessingRegistration(
                account_settings=settings,
                supported_event_types=[mp.EventType.CUSTOM_EVENT, mp.EventType.PRODUCT_ACTION],
                supported_runtime_environments=list(mp.EnvironmentType),
            ),
        )

    def deliveries(self, request: mp.Request) -> Iterator[Delivery | LeftOut]:
        if not isinstance(request, mp.EventProcessingRequest):
            return
        user = first_of(*values_of(request.user_identities, mp.UserIdentityType.CUSTOMER))
        if not user:
            yield LeftOut("user", "a user without a customer id")
            return
        who = {"external_id": user}
        if request.user_attributes:
            yield self._call(request, "attributes", "user", {**request.user_attributes, **who})
        yield from one_by_one(in_time_order(request.events), partial(self._of_event, request, who))

    def _of_event(
        self, request: mp.EventProcessingRequest, who: Mapping[str, str], item: str, event: mp.Event
    ) -> Iterator[Delivery | LeftOut]:
        when = present(time=iso8601(event.timestamp_ms))
        match event:
            case mp.CustomEvent():
                content = present(name=event.name, properties=event.attributes)
                yield self._call(request, "events", item, {**who, **when, **content})
            case mp.ProductActionEvent(action=mp.ProductActionType.PURCHASE):
                for place, product in enumerate(event.products):
                    quantity = 1 if product.quantity is None else truncated(product.quantity, bits=32)
                    if quantity is None:
                        yield LeftOut(f"{item}.products[{place}]", "more pieces than a purchase has")
                        continue
                    content = present(product_id=product.id, price=product.price, currency=event.currency_code)
                    one = {**who, **when, **content, "quantity": quantity}
                    yield self._call(request, "purchases", f"{item}.products[{place}]", one)

    def _call(self, request: mp.Request, kind: str, item: str, content: Mapping[str, Any]) -> Delivery:
        settings = settings_of(request)
        return Delivery(
            url=f"{host_of(settings, 'region', HOSTS)}/users/track",
            body=to_json({kind: [content]}),
            item=item,
            headers={"Content-Type": "application/json"},
            secret_headers={"Authorization": Secret(f"Bearer {credential(settings, 'apiKey').value}")},
            merge="users/track",
            merge_group=host_of(settings, "region", HOSTS),
            merge_kind=kind,
        )

    def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
        lists: dict[str, list[Any]] = {}
        for one in deliveries:
            for kind, entries in (json_object(one.body.decode()) or {}).items():
                lists.setdefault(kind, []).extend(entries)
        return replace(deliveries[0], body=to_json(lists), item="track")
