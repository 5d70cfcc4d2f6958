"""The customer's account, and the identities and attributes of a user."""

from testkit.requests.dice import KEYS, MINUTE_MS, Dice, Json

USER_IDENTITIES = (
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
DEVICE_IDENTITIES = (
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
HASH_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64}


def account(dice: Dice, account_id: int | None) -> Json:
    settings = {"apiKey": "sample-" + dice.digits(8), "sendRides": "true", "threshold": "2.50", "empty": ""}
    return {
        "account_id": dice.random.randint(1, 10**6) if account_id is None else account_id,
        "account_settings": {**settings, **dice.settings},
    }


def user_identities(dice: Dice) -> list[Json]:
    chosen = dict([dice.turn(USER_IDENTITIES), *dice.random.sample(USER_IDENTITIES, 2)])
    return [identity(dice, kind, form.format(dice.digits(7))) for kind, form in chosen.items()]


def device_identities(dice: Dice) -> list[Json]:
    chosen = dict.fromkeys([dice.turn(DEVICE_IDENTITIES), *dice.random.sample(DEVICE_IDENTITIES, 2)])
    return [identity(dice, kind, dice.uuid()) for kind in chosen]


def identity(dice: Dice, kind: str, value: str) -> Json:
    encoding = dice.pick(("raw", "raw", "md5", "sha1", "sha256"))
    if encoding != "raw":
        value = dice.hexadecimal(HASH_DIGITS[encoding])
    return {"type": kind, "encoding": encoding, "value": value}


def attributes(dice: Dice) -> dict[str, str]:
    return {name: dice.word() for name in dice.random.sample(KEYS, dice.random.randint(1, 3))}


def consent(dice: Dice) -> Json:
    return {
        "consented": dice.chance(),
        "document": "terms v" + dice.digits(1),
        "timestamp_unixtime_ms": dice.now_ms - 3 * MINUTE_MS,
        "location": "settings page",
        "hardware_id": dice.uuid(),
    }
