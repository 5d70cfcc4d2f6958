"""The device or server that events come from."""

from testkit.requests.dice import MINUTE_MS, Dice, Json
from testkit.requests.people import device_identities

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


def runtime_environment(dice: Dice, kind: str) -> Json:
    environment: Json = {
        "type": kind,
        "client_ip_address": f"192.0.2.{dice.random.randint(1, 254)}",
        "sdk_version": "5.60.1",
        "http_header_user_agent": "Velo/7 (+https://velo.example)",
        "identities": device_identities(dice),
        "build_id": dice.hexadecimal(8),
        "brand": "Velo",
        "name": f"bike {dice.word()}",
        "os_version": "17.4",
        "locale_language": "de",
        "locale_country": "AT",
        "timezone_offset": dice.random.randint(-11, 14),
    }
    if dice.chance():
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
        extra |= {"att_authorization_status": "denied", "att_timestamp_unixtime_ms": dice.now_ms - MINUTE_MS}
    if kind == "ios":
        extra |= {"apple_search_ads_attribution": {"Version3.1": {"iad-campaign-id": dice.digits(7)}}}
    return environment | extra
