"""Event requests: a user's events, with the user's identities and attributes."""

from testkit.requests.dice import KEYS, Dice, Json
from testkit.requests.environments import ENVIRONMENTS, runtime_environment
from testkit.requests.events import EVENT_TYPES, event
from testkit.requests.people import account, attributes, consent, user_identities


def event_processing(dice: Dice, events: int | None, environment: str | None, account_id: int | None) -> Json:
    count = dice.random.randint(1, 8) if events is None else events
    body: Json = {
        "source_id": dice.uuid(),
        "account": account(dice, account_id),
        "partner_identities": [{"type": "Velo_id", "encoding": "raw", "value": dice.digits(12)}],
        "user_identities": user_identities(dice),
        "user_attributes": {"$FirstName": "Zoë", "$Zip": dice.digits(5), **attributes(dice)},
        "user_attribute_lists": {dice.pick(KEYS): dice.some(dice.word, 1, 4)},
        "runtime_environment": runtime_environment(dice, environment or dice.turn(ENVIRONMENTS)),
        "integration_attributes": {"velo": dice.digits(6)},
        "events": [event(dice, EVENT_TYPES[(dice.seed + i) % len(EVENT_TYPES)]) for i in range(count)],
        "source_channel": dice.pick(("native", "javascript", "pixel", "partner", "server_to_server")),
        "device_application_stamp": dice.uuid(),
        "consent_state": {
            "gdpr_consent_state": {"analytics": consent(dice), "tracking": consent(dice)},
            "ccpa_consent_state": {"data_sale_opt_out": consent(dice)},
        },
        "mpid": dice.turn((str(dice.int64()), dice.int64())),
        "platform_fields": platform_fields(dice),
    }
    if count and dice.chance():
        body["system_notifications"] = system_notifications(dice)
    for optional in ("partner_identities", "integration_attributes", "consent_state", "platform_fields"):
        if not dice.chance():
            del body[optional]
    return body


def platform_fields(dice: Dice) -> Json:
    return {
        "mp_account_id": 77,
        "mp_account_name": "Velo Works",
        "workspace_id": 78,
        "workspace_name": "production",
        "app_name": "Velo",
        "dataplan_id": "rides",
        "dataplan_version": dice.random.randint(1, 9),
    }


def system_notifications(dice: Dice) -> list[Json]:
    return [
        {"type": "gdpr_consent_state", "purpose": "analytics", "new_gdpr_consent_state": consent(dice)},
        {
            "type": "ccpa_consent_state",
            "purpose": "data_sale_opt_out",
            "old_ccpa_consent_state": consent(dice),
            "new_ccpa_consent_state": consent(dice),
        },
    ]
