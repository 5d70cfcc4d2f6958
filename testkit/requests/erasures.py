"""Erasure requests: a person wants to be forgotten."""

from testkit.requests.dice import Dice, Json
from testkit.requests.people import account

DSR_IDENTITIES = (
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


def dsr_processing(dice: Dice, account_id: int | None) -> Json:
    at_s = dice.now_ms // 1000
    keys = {dice.turn(DSR_IDENTITIES), *dice.random.sample(DSR_IDENTITIES, 2)}
    body: Json = {
        "subject_request_id": dice.uuid(),
        "subject_request_type": "erasure",
        "submitted_time": dice.turn((at_s, at_s + 0.25, "2026-02-03T04:05:06.789Z", "2026-02-03T04:05:06+02:00")),
        "subject_identities": {
            name: {"encoding": "raw", "value": dice.uuid()} for name in DSR_IDENTITIES if name in keys
        },
        "api_version": "3.0",
        "regulation": dice.turn(("gdpr", "ccpa")),
    }
    if dice.chance() or account_id is not None or dice.settings:
        body["account"] = account(dice, account_id)
    return body
