"""Who a request is about: identities of users, devices and partners, and those of a data subject request."""

from enum import StrEnum
from typing import Annotated

from shared.firehose.model import Wire
from shared.firehose.values import Read, Text, Unknown, one_of


class UserIdentityType(StrEnum):
    """Mind the spellings: `other2`, but `phone_number_2`."""

    OTHER = "other"
    CUSTOMER = "customer"
    FACEBOOK = "facebook"
    TWITTER = "twitter"
    GOOGLE = "google"
    MICROSOFT = "microsoft"
    YAHOO = "yahoo"
    EMAIL = "email"
    OTHER2 = "other2"
    OTHER3 = "other3"
    OTHER4 = "other4"
    OTHER5 = "other5"
    OTHER6 = "other6"
    OTHER7 = "other7"
    OTHER8 = "other8"
    OTHER9 = "other9"
    OTHER10 = "other10"
    MOBILE_NUMBER = "mobile_number"
    PHONE_NUMBER_2 = "phone_number_2"
    PHONE_NUMBER_3 = "phone_number_3"


class DeviceIdentityType(StrEnum):
    ANDROID_ID = "android_id"
    GOOGLE_ADVERTISING_ID = "google_advertising_id"
    IOS_ADVERTISING_ID = "ios_advertising_id"
    IOS_VENDOR_ID = "ios_vendor_id"
    GOOGLE_CLOUD_MESSAGING_TOKEN = "google_cloud_messaging_token"  # noqa: S105 - a type's name
    APPLE_PUSH_NOTIFICATION_TOKEN = "apple_push_notification_token"  # noqa: S105 - a type's name
    ROKU_ADVERTISING_ID = "roku_advertising_id"
    MICROSOFT_ADVERTISING_ID = "microsoft_advertising_id"
    MICROSOFT_PUBLISHER_ID = "microsoft_publisher_id"
    FIRE_ADVERTISING_ID = "fire_advertising_id"
    ROKU_PUBLISHER_ID = "roku_publisher_id"


class OpenDsrIdentityType(StrEnum):
    """Keys of `subject_identities`: customer id and Google's advertising id have other names than elsewhere."""

    CONTROLLER_CUSTOMER_ID = "controller_customer_id"
    ANDROID_ADVERTISING_ID = "android_advertising_id"
    ANDROID_ID = "android_id"
    EMAIL = "email"
    FIRE_ADVERTISING_ID = "fire_advertising_id"
    IOS_ADVERTISING_ID = "ios_advertising_id"
    IOS_VENDOR_ID = "ios_vendor_id"
    MICROSOFT_ADVERTISING_ID = "microsoft_advertising_id"
    MICROSOFT_PUBLISHER_ID = "microsoft_publisher_id"
    ROKU_PUBLISHER_ID = "roku_publisher_id"
    ROKU_ADVERTISING_ID = "roku_advertising_id"


class Encoding(StrEnum):
    """Hashes are over the trimmed, lower-cased value."""

    RAW = "raw"
    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"


EncodingOf = Annotated[Encoding | Unknown | None, Read(one_of(Encoding))]


class UserIdentity(Wire):
    type: Annotated[UserIdentityType | Unknown | None, Read(one_of(UserIdentityType))] = None
    encoding: EncodingOf = None
    value: Text = None


class DeviceIdentity(Wire):
    type: Annotated[DeviceIdentityType | Unknown | None, Read(one_of(DeviceIdentityType))] = None
    encoding: EncodingOf = None
    value: Text = None


class PartnerIdentity(Wire):
    """`type` is free text, fixed when the partner registers it."""

    type: Text = None
    encoding: EncodingOf = None
    value: Text = None


class OpenDsrIdentity(Wire):
    """`encoding` is `raw` since SDK 2.9.2; a hash is still read as what it says."""

    encoding: EncodingOf = None
    value: Text = None


def open_dsr_identity_type(value: object) -> OpenDsrIdentityType | Unknown:
    """A key of `subject_identities`: exact, unlike other enum values, for two keys must not become one."""
    if not isinstance(value, str):
        raise ValueError("expected a string as key")  # noqa: TRY004 - pydantic collects ValueErrors
    try:
        return OpenDsrIdentityType(value)
    except ValueError:
        return Unknown(value)
