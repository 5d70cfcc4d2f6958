"""Where a batch of events comes from: the device, its system and the app, one model for each set of fields.

A field that does not belong to an environment is not lost: it is in `model_extra`, as every unknown field is.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.firehose.identities import DeviceIdentity
from shared.firehose.model import Part, by_type
from shared.firehose.values import Flag, Items, Map, Read, Settings, Text, Unknown, Whole, no_items, one_of, unknown


class EnvironmentType(StrEnum):
    """`unknown` is a type that mParticle sends; a type that this version does not know is an `Unknown` instead."""

    ANDROID = "android"
    IOS = "ios"
    TVOS = "tvos"
    MOBILEWEB = "mobileweb"
    ROKU = "roku"
    XBOX = "xbox"
    FIRETV = "firetv"
    UNKNOWN = "unknown"
    SMARTTV = "smarttv"
    ALEXA = "alexa"


class AttAuthorizationStatus(StrEnum):
    """Apple's App Tracking Transparency."""

    AUTHORIZED = "authorized"
    DENIED = "denied"
    NOT_DETERMINED = "not_determined"
    RESTRICTED = "restricted"


class RuntimeEnvironment(Part):
    """What all environments have. `is_debug` is sent only when true."""

    type: Annotated[EnvironmentType | Unknown | None, Read(one_of(EnvironmentType))] = None
    is_debug: Flag = False
    client_ip_address: Text = None
    sdk_version: Text = None
    http_header_user_agent: Text = None
    identities: Items[DeviceIdentity] = Field(default_factory=no_items)


class _Device(RuntimeEnvironment):
    """`timezone_offset` is in hours."""

    build_id: Text = None
    brand: Text = None
    product: Text = None
    name: Text = None
    os_version: Text = None
    locale_language: Text = None
    locale_country: Text = None
    timezone_offset: Whole = None


class _App(_Device):
    manufacturer: Text = None
    model: Text = None
    country: Text = None
    timezone_name: Text = None
    application_name: Text = None
    application_version: Text = None
    application_package: Text = None


class _Screen(RuntimeEnvironment):
    screen_height: Whole = None
    screen_width: Whole = None


class _Network(RuntimeEnvironment):
    network_country: Text = None
    network_carrier: Text = None
    network_code: Text = None
    network_mobile_country_code: Text = None
    is_tablet: Flag = None


class _Radios(RuntimeEnvironment):
    supports_telephony: Flag = None
    has_nfc: Flag = None
    bluetooth_enabled: Flag = None
    bluetooth_version: Text = None
    screen_dpi: Whole = None


class _Att(RuntimeEnvironment):
    att_authorization_status: Annotated[
        AttAuthorizationStatus | Unknown | None, Read(one_of(AttAuthorizationStatus))
    ] = None
    att_timestamp_unixtime_ms: Whole = None


class AndroidEnvironment(_App, _Screen, _Network, _Radios):
    type: Literal[EnvironmentType.ANDROID] = EnvironmentType.ANDROID
    android_sdk_level: Whole = None
    install_referrer: Text = None


class IosEnvironment(_App, _Screen, _Network, _Att):
    type: Literal[EnvironmentType.IOS] = EnvironmentType.IOS
    cpu_architecture: Text = None
    radio_access_technology: Text = None
    is_sandboxed: Flag = None
    apple_search_ads_attribution: Map[Settings] = Field(default_factory=dict)


class TvosEnvironment(_App, _Screen, _Att):
    type: Literal[EnvironmentType.TVOS] = EnvironmentType.TVOS
    cpu_architecture: Text = None


class RokuEnvironment(_App):
    type: Literal[EnvironmentType.ROKU] = EnvironmentType.ROKU
    cpu_architecture: Text = None


class XboxEnvironment(_App, _Screen):
    type: Literal[EnvironmentType.XBOX] = EnvironmentType.XBOX
    cpu_architecture: Text = None


class FiretvEnvironment(_App, _Screen):
    type: Literal[EnvironmentType.FIRETV] = EnvironmentType.FIRETV
    cpu_architecture: Text = None


class MobilewebEnvironment(_Device, _Screen, _Network):
    """`limit_ad_tracking` and `is_dst` are strings on the wire, `"true"` or `"false"`."""

    type: Literal[EnvironmentType.MOBILEWEB] = EnvironmentType.MOBILEWEB
    device_manufacturer: Text = None
    device_model: Text = None
    screen_dpi: Whole = None
    device_country: Text = None
    push_token: Text = None
    radio_access_technology: Text = None
    limit_ad_tracking: Text = None
    is_dst: Text = None


class GenericEnvironment(_App, _Screen, _Radios):
    """`unknown`, `smarttv` and `alexa`, which have the same fields."""

    type: Literal[EnvironmentType.UNKNOWN, EnvironmentType.SMARTTV, EnvironmentType.ALEXA] = EnvironmentType.UNKNOWN
    is_tablet: Flag = None


class UnknownEnvironment(RuntimeEnvironment):
    """An environment of a type that this version does not know, or without one; its own fields are in `model_extra`."""

    type: Annotated[Unknown | None, Read(unknown)] = None


_BY_TYPE: dict[str, type[RuntimeEnvironment]] = {
    EnvironmentType.ANDROID: AndroidEnvironment,
    EnvironmentType.IOS: IosEnvironment,
    EnvironmentType.TVOS: TvosEnvironment,
    EnvironmentType.MOBILEWEB: MobilewebEnvironment,
    EnvironmentType.ROKU: RokuEnvironment,
    EnvironmentType.XBOX: XboxEnvironment,
    EnvironmentType.FIRETV: FiretvEnvironment,
    EnvironmentType.UNKNOWN: GenericEnvironment,
    EnvironmentType.SMARTTV: GenericEnvironment,
    EnvironmentType.ALEXA: GenericEnvironment,
}


def read_environment(value: Any) -> RuntimeEnvironment | None:
    """Read an environment of any kind; never raises for what it holds. Unreadable fields count as absent."""
    if value is None or isinstance(value, RuntimeEnvironment):
        return value
    return by_type(value, _BY_TYPE, UnknownEnvironment)
