"""Events of every type."""

from collections.abc import Callable

from testkit.requests.dice import MINUTE_MS, Dice, Json
from testkit.requests.people import attributes, user_identities

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


def event(dice: Dice, kind: str) -> Json:
    event: Json = {
        "type": kind,
        "id": dice.uuid(),
        "timestamp_ms": dice.now_ms - dice.random.randrange(MINUTE_MS),
        "source_id": dice.uuid(),
        "session_id": dice.int64(),
    }
    if dice.chance():
        event["location"] = {
            "latitude": round(dice.random.uniform(-90, 90), 6),
            "longitude": round(dice.random.uniform(-180, 180), 6),
            "accuracy": float(dice.random.randint(0, 50)),
        }
    return event | event_body(dice, kind)


def event_body(dice: Dice, kind: str) -> Json:
    make: dict[str, Callable[[], Json]] = {
        "session_end": lambda: {"session_length_ms": dice.random.randrange(10_000_000)},
        "custom_event": lambda: {
            "name": f"ride {dice.word()}",
            "custom_event_type": dice.pick(("navigation", "search", "transaction", "social", "other", "media")),
            "attributes": attributes(dice),
            "custom_flags": {"Velo.flag": dice.word()},
        },
        "screen_view": lambda: {"screen_name": dice.word(), "attributes": attributes(dice)},
        "error": lambda: {
            "message": f"chain off: {dice.word()}",
            "is_crash": dice.chance(),
            "stack_trace": "ride()\n\tat Wheel.kt:7",
            "breadcrumbs": dice.some(dice.word, 1, 3),
            "attributes": attributes(dice),
        },
        "privacy_setting_change": lambda: {"setting": "app_data_collection", "is_enabled": dice.chance()},
        "user_attribute_change": lambda: {"added": attributes(dice), "removed": {"trial": dice.word()}},
        "user_identity_change": lambda: {
            "added": user_identities(dice),
            "removed": [{"type": "email", "encoding": "raw", "value": "old@example.org"}],
        },
        "push_subscription": lambda: {
            "action": dice.pick(("subscribe", "unsubscribe")),
            "token": dice.hexadecimal(64),
        },
        "application_state_transition": lambda: {
            "application_state": dice.pick(("install", "upgrade", "initialize", "exit", "background", "foreground")),
            "launch_referral": "velo://tour?id=" + dice.digits(3),
        },
        "push_message_receipt": lambda: {"payload": f'{{"campaign":{dice.digits(4)},"text":"Grüße"}}'},
        "push_message_open": lambda: {"payload": f'{{"campaign":{dice.digits(4)},"text":"Grüße"}}'},
        "product_action": lambda: product_action(dice),
        "promotion_action": lambda: {
            "action": dice.pick(("view", "click")),
            "attributes": attributes(dice),
            "promotions": [{"id": dice.digits(3), "name": dice.word(), "creative": "banner", "position": "top"}],
        },
        "impression": lambda: {
            "attributes": attributes(dice),
            "impressions": [
                {"impression_list_name": "also ridden", "products": dice.some(lambda: product(dice), 1, 3)}
            ],
        },
        "attribution": lambda: {
            "name": "attribution",
            "partner_name": "Velo Ads",
            "publisher_name": dice.word(),
            "campaign_name": "spring " + dice.digits(4),
        },
    }
    return make.get(kind, dict)()


def product_action(dice: Dice) -> Json:
    return {
        "action": dice.pick(
            ("add_to_wishlist", "remove_from_wish_list", "add_to_cart", "checkout", "purchase", "refund", "click")
        ),
        "transaction_id": dice.digits(8),
        "total_amount": dice.amount(),
        "tax_amount": dice.amount(),
        "shipping_amount": 0,
        "currency_code": dice.pick(("EUR", "KRW", "USD")),
        "products": dice.some(lambda: product(dice), 1, 3),
        "attributes": attributes(dice),
    }


def product(dice: Dice) -> Json:
    return {
        "id": "sku-" + dice.digits(5),
        "name": dice.word(),
        "brand": "Velo",
        "position": dice.random.randint(0, 9),
        "price": dice.amount(),
        "quantity": dice.pick((1, 2, 0.5)),
        "total_amount": dice.amount(),
        "attributes": attributes(dice),
    }
