"""Valid requests of every kind, made from a seed: traffic for tests, for the demo and for trying a partner out.

Pure and repeatable: the same arguments give the same request, ids and times included. Successive seeds go round all
environments and all event types, so that a handful of requests covers the protocol.
"""

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Json = dict[str, Any]
T = TypeVar("T")

KINDS = (
    "module_registration_request",
    "event_processing_request",
    "audience_membership_change_request",
    "audience_subscription_request",
    "dsr_processing_request",
)
EVENT_TYPES = (
    "session_start",
    "screen_view",
    "custom_event",
    "product_action",
    "impression",
    "promotion_action",
    "user_attribute_change",
    "user_identity_change",
    "push_subscription",
    "push_message_receipt",
    "push_message_open",
    "application_state_transition",
    "privacy_setting_change",
    "attribution",
    "error",
    "session_end",
)
ENVIRONMENTS = (
    "android",
    "ios",
    "tvos",
    "mobileweb",
    "roku",
    "xbox",
    "firetv",
    "unknown",
    "smarttv",
    "alexa",
)

_FIRST_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z in milliseconds; each seed starts one minute after the one before."""
_MINUTE_MS = 60_000

_WORDS = (
    "bicycle",
    "Größe 42",
    "naïve",
    "자전거",
    "велосипед",
    "😀 👩‍🚀",
    "دراجة",
    'a "quoted" word',
    "tab\tand\nline",
    "back\\slash/slash",
    "<b>&amp;</b>",
    "0042",
    "-0",
    "null",
    " two  blanks ",
    "\u00a0",
)
_KEYS = ("colour", "size", "$Age", "plan.tier", "größe", "源", "with space", "a/b", "count")
_USER_IDENTITIES = (
    ("email", "rider{}@example.org"),
    ("customer", "c-{}"),
    ("other", "{}"),
    ("facebook", "{}"),
    ("twitter", "rider_{}"),
    ("google", "{}"),
    ("microsoft", "{}"),
    ("yahoo", "{}"),
    ("mobile_number", "+4930{}"),
    ("phone_number_2", "+4940{}"),
    ("phone_number_3", "+4989{}"),
    *((f"other{n}", "o" + str(n) + "-{}") for n in range(2, 11)),
)
_DEVICE_IDENTITIES = (
    "android_id",
    "google_advertising_id",
    "ios_advertising_id",
    "ios_vendor_id",
    "google_cloud_messaging_token",
    "apple_push_notification_token",
    "roku_advertising_id",
    "microsoft_advertising_id",
    "microsoft_publisher_id",
    "fire_advertising_id",
    "roku_publisher_id",
)
_DSR_IDENTITIES = (
    "controller_customer_id",
    "email",
    "android_advertising_id",
    "android_id",
    "fire_advertising_id",
    "ios_advertising_id",
    "ios_vendor_id",
    "microsoft_advertising_id",
    "microsoft_publisher_id",
    "roku_publisher_id",
    "roku_advertising_id",
)
_HASH_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64}


def make_request(
    kind: str,
    *,
    seed: int,
    events: int | None = None,
    environment: str | None = None,
    account_id: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> Json:
    """Make a request of one of `KINDS`, as a Lambda runtime would hand it over (JSON types only).

    `events` is the number of events (0 makes a verification probe) and `environment` the type of device; both matter to
    event requests alone. `account_id` is the integration's account; `settings` are account settings beside the usual
    ones. Raises ValueError for a kind or environment that there is not.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    if environment is not None and environment not in ENVIRONMENTS:
        raise ValueError(f"environment must be one of {', '.join(ENVIRONMENTS)}")
    return _Maker(kind, seed, settings or {}).request(events, environment, account_id)


class _Maker:
    def __init__(self, kind: str, seed: int, settings: Mapping[str, str]) -> None:
        self.settings = settings
        self.kind = kind
        self.seed = seed
        self.random = random.Random(f"{kind}/{seed}")  # noqa: S311 - test data, not secrets
        self.now_ms = _FIRST_MS + seed * _MINUTE_MS + self.random.randrange(_MINUTE_MS)

    def request(self, events: int | None, environment: str | None, account_id: int | None) -> Json:
        request = {
            "type": self.kind,
            "id": self.uuid(),
            "timestamp_ms": self.now_ms,
            "firehose_version": "3.2.0",
        }
        match self.kind:
            case "event_processing_request":
                request |= self.event_processing(events, environment, account_id)
            case "audience_membership_change_request":
                request |= {"account": self.account(account_id), "user_profiles": self.some(self.user_profile, 1, 3)}
            case "audience_subscription_request":
                request |= self.audience_subscription(account_id)
            case "dsr_processing_request":
                request |= self.dsr_processing(account_id)
        return request

    # What the kinds carry

    def event_processing(self, events: int | None, environment: str | None, account_id: int | None) -> Json:
        count = self.random.randint(1, 8) if events is None else events
        body: Json = {
            "source_id": self.uuid(),
            "account": self.account(account_id),
            "partner_identities": [{"type": "Velo_id", "encoding": "raw", "value": self.digits(12)}],
            "user_identities": self.user_identities(),
            "user_attributes": {"$FirstName": "Zoë", "$Zip": self.digits(5), **self.attributes()},
            "user_attribute_lists": {self.pick(_KEYS): self.some(self.word, 1, 4)},
            "runtime_environment": self.environment(environment or self.turn(ENVIRONMENTS)),
            "integration_attributes": {"velo": self.digits(6)},
            "events": [self.event(EVENT_TYPES[(self.seed + i) % len(EVENT_TYPES)]) for i in range(count)],
            "source_channel": self.pick(("native", "javascript", "pixel", "partner", "server_to_server")),
            "device_application_stamp": self.uuid(),
            "consent_state": {
                "gdpr_consent_state": {"analytics": self.consent(), "tracking": self.consent()},
                "ccpa_consent_state": {"data_sale_opt_out": self.consent()},
            },
            "mpid": self.turn((str(self.int64()), self.int64())),
            "platform_fields": self.platform_fields(),
        }
        if count and self.chance():
            body["system_notifications"] = self.system_notifications()
        for optional in ("partner_identities", "integration_attributes", "consent_state", "platform_fields"):
            if not self.chance():
                del body[optional]
        return body

    def user_profile(self) -> Json:
        return {
            "user_identities": self.user_identities(),
            "device_identities": self.device_identities(),
            "partner_identities": [{"type": "Velo_id", "encoding": "raw", "value": self.digits(12)}],
            "audiences": self.some(self.audience, 1, 3),
            "mpid": str(self.int64()),
        }

    def audience(self) -> Json:
        action = self.pick(("add", "delete", "attribute_update"))
        audience: Json = {
            "audience_id": self.random.randint(1, 2**31 - 1),
            "audience_name": f"Riders {self.word()}",
            "audience_subscription_settings": {"listId": self.digits(4)},
            "action": action,
        }
        if action != "delete":
            audience["user_attributes"] = [
                {"key": "last_ride", "value": self.word(), "action": "upsert"},
                {"key": "commuter", "action": "upsert"},
                {"key": "bikes", "action": "upsert", "list_value": self.some(self.word, 1, 3)},
                {"key": "trial", "action": "delete"},
            ]
        return audience

    def audience_subscription(self, account_id: int | None) -> Json:
        action = self.turn(("add", "update", "remove"))
        body: Json = {
            "account": self.account(account_id),
            "audience_id": self.random.randint(1, 2**31 - 1),
            "audience_name": f"Riders {self.word()}",
            "audience_description": self.word(),
            "audience_subscription_settings": {"listId": self.digits(4)},
            "action": action,
        }
        if action == "update":
            body["previous_audience_subscription_settings"] = {"listId": self.digits(4)}
        return body

    def dsr_processing(self, account_id: int | None) -> Json:
        at_s = self.now_ms // 1000
        keys = {self.turn(_DSR_IDENTITIES), *self.random.sample(_DSR_IDENTITIES, 2)}
        body: Json = {
            "subject_request_id": self.uuid(),
            "subject_request_type": "erasure",
            "submitted_time": self.turn((at_s, at_s + 0.25, "2026-02-03T04:05:06.789Z", "2026-02-03T04:05:06+02:00")),
            "subject_identities": {
                name: {"encoding": "raw", "value": self.uuid()} for name in _DSR_IDENTITIES if name in keys
            },
            "api_version": "3.0",
            "regulation": self.turn(("gdpr", "ccpa")),
        }
        if self.chance() or account_id is not None or self.settings:
            body["account"] = self.account(account_id)
        return body

    # Events

    def event(self, kind: str) -> Json:
        event: Json = {
            "type": kind,
            "id": self.uuid(),
            "timestamp_ms": self.now_ms - self.random.randrange(_MINUTE_MS),
            "source_id": self.uuid(),
            "session_id": self.int64(),
        }
        if self.chance():
            event["location"] = {
                "latitude": round(self.random.uniform(-90, 90), 6),
                "longitude": round(self.random.uniform(-180, 180), 6),
                "accuracy": float(self.random.randint(0, 50)),
            }
        return event | self.event_body(kind)

    def event_body(self, kind: str) -> Json:
        make: dict[str, Callable[[], Json]] = {
            "session_end": lambda: {"session_length_ms": self.random.randrange(10_000_000)},
            "custom_event": lambda: {
                "name": f"ride {self.word()}",
                "custom_event_type": self.pick(("navigation", "search", "transaction", "social", "other", "media")),
                "attributes": self.attributes(),
                "custom_flags": {"Velo.flag": self.word()},
            },
            "screen_view": lambda: {"screen_name": self.word(), "attributes": self.attributes()},
            "error": lambda: {
                "message": f"chain off: {self.word()}",
                "is_crash": self.chance(),
                "stack_trace": "ride()\n\tat Wheel.kt:7",
                "breadcrumbs": self.some(self.word, 1, 3),
                "attributes": self.attributes(),
            },
            "privacy_setting_change": lambda: {"setting": "app_data_collection", "is_enabled": self.chance()},
            "user_attribute_change": lambda: {"added": self.attributes(), "removed": {"trial": self.word()}},
            "user_identity_change": lambda: {
                "added": self.user_identities(),
                "removed": [{"type": "email", "encoding": "raw", "value": "old@example.org"}],
            },
            "push_subscription": lambda: {
                "action": self.pick(("subscribe", "unsubscribe")),
                "token": self.hexadecimal(64),
            },
            "application_state_transition": lambda: {
                "application_state": self.pick(
                    ("install", "upgrade", "initialize", "exit", "background", "foreground")
                ),
                "launch_referral": "velo://tour?id=" + self.digits(3),
            },
            "push_message_receipt": lambda: {"payload": f'{{"campaign":{self.digits(4)},"text":"Grüße"}}'},
            "push_message_open": lambda: {"payload": f'{{"campaign":{self.digits(4)},"text":"Grüße"}}'},
            "product_action": self.product_action,
            "promotion_action": lambda: {
                "action": self.pick(("view", "click")),
                "attributes": self.attributes(),
                "promotions": [{"id": self.digits(3), "name": self.word(), "creative": "banner", "position": "top"}],
            },
            "impression": lambda: {
                "attributes": self.attributes(),
                "impressions": [{"impression_list_name": "also ridden", "products": self.some(self.product, 1, 3)}],
            },
            "attribution": lambda: {
                "name": "attribution",
                "partner_name": "Velo Ads",
                "publisher_name": self.word(),
                "campaign_name": "spring " + self.digits(4),
            },
        }
        return make.get(kind, dict)()

    def product_action(self) -> Json:
        return {
            "action": self.pick(
                ("add_to_wishlist", "remove_from_wish_list", "add_to_cart", "checkout", "purchase", "refund", "click")
            ),
            "transaction_id": self.digits(8),
            "total_amount": self.amount(),
            "tax_amount": self.amount(),
            "shipping_amount": 0,
            "currency_code": self.pick(("EUR", "KRW", "USD")),
            "products": self.some(self.product, 1, 3),
            "attributes": self.attributes(),
        }

    def product(self) -> Json:
        return {
            "id": "sku-" + self.digits(5),
            "name": self.word(),
            "brand": "Velo",
            "position": self.random.randint(0, 9),
            "price": self.amount(),
            "quantity": self.pick((1, 2, 0.5)),
            "total_amount": self.amount(),
            "attributes": self.attributes(),
        }

    def system_notifications(self) -> list[Json]:
        return [
            {"type": "gdpr_consent_state", "purpose": "analytics", "new_gdpr_consent_state": self.consent()},
            {
                "type": "ccpa_consent_state",
                "purpose": "data_sale_opt_out",
                "old_ccpa_consent_state": self.consent(),
                "new_ccpa_consent_state": self.consent(),
            },
        ]

    # Context of a request

    def account(self, account_id: int | None) -> Json:
        settings = {"apiKey": "sample-" + self.digits(8), "sendRides": "true", "threshold": "2.50", "empty": ""}
        return {
            "account_id": self.random.randint(1, 10**6) if account_id is None else account_id,
            "account_settings": {**settings, **self.settings},
        }

    def environment(self, kind: str) -> Json:
        environment: Json = {
            "type": kind,
            "client_ip_address": f"192.0.2.{self.random.randint(1, 254)}",
            "sdk_version": "5.60.1",
            "http_header_user_agent": "Velo/7 (+https://velo.example)",
            "identities": self.device_identities(),
            "build_id": self.hexadecimal(8),
            "brand": "Velo",
            "name": f"bike {self.word()}",
            "os_version": "17.4",
            "locale_language": "de",
            "locale_country": "AT",
            "timezone_offset": self.random.randint(-11, 14),
        }
        if self.chance():
            environment["is_debug"] = True
        if kind == "mobileweb":
            extra: Json = {"device_model": "B2", "device_country": "AT", "limit_ad_tracking": "true", "is_dst": "false"}
        else:
            extra = {"manufacturer": "Velo Works", "model": "B2", "country": "AT", "application_name": "Velo"}
            extra |= {"application_version": "7.0.1", "application_package": "org.example.velo"}
        if kind != "roku":
            extra |= {"screen_height": 2400, "screen_width": 1080}
        if kind == "android":
            extra |= {"android_sdk_level": 34, "is_tablet": False, "has_nfc": True, "network_carrier": "Funk"}
        if kind in ("ios", "tvos"):
            extra |= {"att_authorization_status": "denied", "att_timestamp_unixtime_ms": self.now_ms - _MINUTE_MS}
        if kind == "ios":
            extra |= {"apple_search_ads_attribution": {"Version3.1": {"iad-campaign-id": self.digits(7)}}}
        return environment | extra

    def platform_fields(self) -> Json:
        return {
            "mp_account_id": 77,
            "mp_account_name": "Velo Works",
            "workspace_id": 78,
            "workspace_name": "production",
            "app_name": "Velo",
            "dataplan_id": "rides",
            "dataplan_version": self.random.randint(1, 9),
        }

    def consent(self) -> Json:
        return {
            "consented": self.chance(),
            "document": "terms v" + self.digits(1),
            "timestamp_unixtime_ms": self.now_ms - 3 * _MINUTE_MS,
            "location": "settings page",
            "hardware_id": self.uuid(),
        }

    def user_identities(self) -> list[Json]:
        chosen = dict([self.turn(_USER_IDENTITIES), *self.random.sample(_USER_IDENTITIES, 2)])
        return [self.identity(kind, form.format(self.digits(7))) for kind, form in chosen.items()]

    def device_identities(self) -> list[Json]:
        chosen = dict.fromkeys([self.turn(_DEVICE_IDENTITIES), *self.random.sample(_DEVICE_IDENTITIES, 2)])
        return [self.identity(kind, self.uuid()) for kind in chosen]

    def identity(self, kind: str, value: str) -> Json:
        encoding = self.pick(("raw", "raw", "md5", "sha1", "sha256"))
        if encoding != "raw":
            value = self.hexadecimal(_HASH_DIGITS[encoding])
        return {"type": kind, "encoding": encoding, "value": value}

    def attributes(self) -> dict[str, str]:
        return {name: self.word() for name in self.random.sample(_KEYS, self.random.randint(1, 3))}

    # Values

    def turn(self, choices: Sequence[T]) -> T:
        """Goes round with the seed."""
        return choices[self.seed % len(choices)]

    def pick(self, choices: Sequence[T]) -> T:
        return self.random.choice(choices)

    def some(self, make: Callable[[], T], least: int, most: int) -> list[T]:
        return [make() for _ in range(self.random.randint(least, most))]

    def chance(self) -> bool:
        return self.random.random() < 0.5

    def word(self) -> str:
        return self.random.choice(_WORDS)

    def digits(self, count: int) -> str:
        return str(self.random.randrange(10 ** (count - 1), 10**count))

    def hexadecimal(self, count: int) -> str:
        return f"{self.random.getrandbits(4 * count):0{count}x}"

    def amount(self) -> int | float:
        return self.pick((self.random.randint(0, 500), self.random.randint(1, 99_999) / 100))

    def int64(self) -> int:
        """Signed, mostly beyond the 2^53 that a double can hold."""
        return self.random.randint(-(2**63), 2**63 - 1)

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))
