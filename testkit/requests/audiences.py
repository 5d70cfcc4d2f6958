"""Audiences: requests about users who joined or left, and about connecting an audience."""

from testkit.requests.dice import Dice, Json
from testkit.requests.people import account, device_identities, user_identities


def user_profile(dice: Dice) -> Json:
    return {
        "user_identities": user_identities(dice),
        "device_identities": device_identities(dice),
        "partner_identities": [{"type": "Velo_id", "encoding": "raw", "value": dice.digits(12)}],
        "audiences": dice.some(lambda: audience(dice), 1, 3),
        "mpid": str(dice.int64()),
    }


def audience(dice: Dice) -> Json:
    action = dice.pick(("add", "delete", "attribute_update"))
    audience: Json = {
        "audience_id": dice.random.randint(1, 2**31 - 1),
        "audience_name": f"Riders {dice.word()}",
        "audience_subscription_settings": {"listId": dice.digits(4)},
        "action": action,
    }
    if action != "delete":
        audience["user_attributes"] = [
            {"key": "last_ride", "value": dice.word(), "action": "upsert"},
            {"key": "commuter", "action": "upsert"},
            {"key": "bikes", "action": "upsert", "list_value": dice.some(dice.word, 1, 3)},
            {"key": "trial", "action": "delete"},
        ]
    return audience


def audience_subscription(dice: Dice, account_id: int | None) -> Json:
    action = dice.turn(("add", "update", "remove"))
    body: Json = {
        "account": account(dice, account_id),
        "audience_id": dice.random.randint(1, 2**31 - 1),
        "audience_name": f"Riders {dice.word()}",
        "audience_description": dice.word(),
        "audience_subscription_settings": {"listId": dice.digits(4)},
        "action": action,
    }
    if action == "update":
        body["previous_audience_subscription_settings"] = {"listId": dice.digits(4)}
    return body
