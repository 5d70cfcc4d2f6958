"""The 16 event types, and the two that keep a batch whole: `UnknownEvent` and `MalformedEvent`."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.firehose.identities import UserIdentity
from shared.firehose.model import Part, Wire, as_malformed, by_type
from shared.firehose.values import (
    Attributes,
    Exact,
    Flag,
    Items,
    Read,
    Real,
    Text,
    Texts,
    Unknown,
    Whole,
    no_items,
    one_of,
    unknown,
)


class EventType(StrEnum):
    SESSION_START = "session_start"
    SESSION_END = "session_end"
    CUSTOM_EVENT = "custom_event"
    SCREEN_VIEW = "screen_view"
    ERROR = "error"
    PRIVACY_SETTING_CHANGE = "privacy_setting_change"
    USER_ATTRIBUTE_CHANGE = "user_attribute_change"
    USER_IDENTITY_CHANGE = "user_identity_change"
    PUSH_SUBSCRIPTION = "push_subscription"
    APPLICATION_STATE_TRANSITION = "application_state_transition"
    PUSH_MESSAGE_RECEIPT = "push_message_receipt"
    PUSH_MESSAGE_OPEN = "push_message_open"
    PRODUCT_ACTION = "product_action"
    PROMOTION_ACTION = "promotion_action"
    IMPRESSION = "impression"
    ATTRIBUTION = "attribution"


class CustomEventType(StrEnum):
    UNKNOWN = "unknown"
    NAVIGATION = "navigation"
    LOCATION = "location"
    SEARCH = "search"
    TRANSACTION = "transaction"
    USER_CONTENT = "user_content"
    USER_PREFERENCE = "user_preference"
    SOCIAL = "social"
    OTHER = "other"
    MEDIA = "media"


class PrivacySetting(StrEnum):
    APP_DATA_COLLECTION = "app_data_collection"


class PushSubscriptionAction(StrEnum):
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"


class ApplicationState(StrEnum):
    INSTALL = "install"
    UPGRADE = "upgrade"
    INITIALIZE = "initialize"
    EXIT = "exit"
    BACKGROUND = "background"
    FOREGROUND = "foreground"


class ProductActionType(StrEnum):
    """Mind the spellings: `add_to_wishlist`, but `remove_from_wish_list`."""

    ADD_TO_WISHLIST = "add_to_wishlist"
    REMOVE_FROM_WISH_LIST = "remove_from_wish_list"
    ADD_TO_CART = "add_to_cart"
    REMOVE_FROM_CART = "remove_from_cart"
    CHECKOUT = "checkout"
    PURCHASE = "purchase"
    REFUND = "refund"
    CHECKOUT_OPTION = "checkout_option"
    CLICK = "click"
    VIEW_DETAIL = "view_detail"


class PromotionActionType(StrEnum):
    UNKNOWN = "unknown"
    VIEW = "view"
    CLICK = "click"


class Location(Wire):
    """Degrees. A coordinate that was not sent is None: 0.0 would be a place in the Gulf of Guinea."""

    latitude: Real = None
    longitude: Real = None
    accuracy: Real = None


class Event(Part):
    """What all events have. `session_id` is a signed 64-bit number, `timestamp_ms` milliseconds since the epoch."""

    type: Annotated[EventType | Unknown | None, Read(one_of(EventType))] = None
    id: Text = None
    timestamp_ms: Whole = None
    source_id: Text = None
    session_id: Whole = None
    location: Location | None = None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [("id", self.id)]


class Product(Wire):
    id: Text = None
    name: Text = None
    brand: Text = None
    category: Text = None
    variant: Text = None
    position: Whole = None
    price: Exact = None
    quantity: Exact = None
    coupon_code: Text = None
    total_amount: Exact = None
    attributes: Attributes = Field(default_factory=dict)


class Promotion(Wire):
    """`position` is a string here, and a number in `Product`."""

    id: Text = None
    name: Text = None
    creative: Text = None
    position: Text = None


class Impression(Wire):
    impression_list_name: Text = None
    products: Items[Product] = Field(default_factory=no_items)


class SessionStartEvent(Event):
    type: Literal[EventType.SESSION_START] = EventType.SESSION_START


class SessionEndEvent(Event):
    type: Literal[EventType.SESSION_END] = EventType.SESSION_END
    session_length_ms: Whole = None


class CustomEvent(Event):
    type: Literal[EventType.CUSTOM_EVENT] = EventType.CUSTOM_EVENT
    name: Text = None
    custom_event_type: Annotated[CustomEventType | Unknown | None, Read(one_of(CustomEventType))] = None
    attributes: Attributes = Field(default_factory=dict)
    custom_flags: Attributes = Field(default_factory=dict)


class ScreenViewEvent(Event):
    type: Literal[EventType.SCREEN_VIEW] = EventType.SCREEN_VIEW
    screen_name: Text = None
    attributes: Attributes = Field(default_factory=dict)
    custom_flags: Attributes = Field(default_factory=dict)


class ErrorEvent(Event):
    type: Literal[EventType.ERROR] = EventType.ERROR
    message: Text = None
    is_crash: Flag = None
    stack_trace: Text = None
    breadcrumbs: Texts = Field(default_factory=no_items)
    attributes: Attributes = Field(default_factory=dict)


class PrivacySettingChangeEvent(Event):
    type: Literal[EventType.PRIVACY_SETTING_CHANGE] = EventType.PRIVACY_SETTING_CHANGE
    setting: Annotated[PrivacySetting | Unknown | None, Read(one_of(PrivacySetting))] = None
    is_enabled: Flag = None


class UserAttributeChangeEvent(Event):
    type: Literal[EventType.USER_ATTRIBUTE_CHANGE] = EventType.USER_ATTRIBUTE_CHANGE
    added: Attributes = Field(default_factory=dict)
    removed: Attributes = Field(default_factory=dict)


class UserIdentityChangeEvent(Event):
    type: Literal[EventType.USER_IDENTITY_CHANGE] = EventType.USER_IDENTITY_CHANGE
    added: Items[UserIdentity] = Field(default_factory=no_items)
    removed: Items[UserIdentity] = Field(default_factory=no_items)


class PushSubscriptionEvent(Event):
    type: Literal[EventType.PUSH_SUBSCRIPTION] = EventType.PUSH_SUBSCRIPTION
    action: Annotated[PushSubscriptionAction | Unknown | None, Read(one_of(PushSubscriptionAction))] = None
    token: Text = None


class ApplicationStateTransitionEvent(Event):
    type: Literal[EventType.APPLICATION_STATE_TRANSITION] = EventType.APPLICATION_STATE_TRANSITION
    application_state: Annotated[ApplicationState | Unknown | None, Read(one_of(ApplicationState))] = None
    launch_referral: Text = None
    referral_application: Text = None
    launch_parameters: Text = None
    source_package: Text = None


class PushMessageReceiptEvent(Event):
    """`payload` is JSON text inside a string."""

    type: Literal[EventType.PUSH_MESSAGE_RECEIPT] = EventType.PUSH_MESSAGE_RECEIPT
    payload: Text = None


class PushMessageOpenEvent(Event):
    """`payload` is JSON text inside a string."""

    type: Literal[EventType.PUSH_MESSAGE_OPEN] = EventType.PUSH_MESSAGE_OPEN
    payload: Text = None


class ProductActionEvent(Event):
    """Amounts are exact: `10.00` has two decimals, and no float ever holds them."""

    type: Literal[EventType.PRODUCT_ACTION] = EventType.PRODUCT_ACTION
    action: Annotated[ProductActionType | Unknown | None, Read(one_of(ProductActionType))] = None
    transaction_id: Text = None
    affiliation: Text = None
    total_amount: Exact = None
    tax_amount: Exact = None
    shipping_amount: Exact = None
    currency_code: Text = None
    coupon_code: Text = None
    products: Items[Product] = Field(default_factory=no_items)
    attributes: Attributes = Field(default_factory=dict)
    custom_flags: Attributes = Field(default_factory=dict)


class PromotionActionEvent(Event):
    type: Literal[EventType.PROMOTION_ACTION] = EventType.PROMOTION_ACTION
    action: Annotated[PromotionActionType | Unknown | None, Read(one_of(PromotionActionType))] = None
    attributes: Attributes = Field(default_factory=dict)
    promotions: Items[Promotion] = Field(default_factory=no_items)
    custom_flags: Attributes = Field(default_factory=dict)


class ImpressionEvent(Event):
    type: Literal[EventType.IMPRESSION] = EventType.IMPRESSION
    attributes: Attributes = Field(default_factory=dict)
    impressions: Items[Impression] = Field(default_factory=no_items)
    custom_flags: Attributes = Field(default_factory=dict)


class AttributionEvent(Event):
    type: Literal[EventType.ATTRIBUTION] = EventType.ATTRIBUTION
    name: Text = None
    partner_name: Text = None
    publisher_name: Text = None
    campaign_name: Text = None
    attributes: Attributes = Field(default_factory=dict)


class UnknownEvent(Event):
    """An event of a type that this version does not know, or without one; its own fields are in `model_extra`."""

    type: Annotated[Unknown | None, Read(unknown)] = None


class MalformedEvent(Event):
    """A value in it cannot be read, so nothing may be concluded from the rest: a purchase whose total is unreadable
    is not a purchase without a total. `malformed` says which value; `raw` may be anything, also no object."""


_BY_TYPE: dict[str, type[Event]] = {
    EventType.SESSION_START: SessionStartEvent,
    EventType.SESSION_END: SessionEndEvent,
    EventType.CUSTOM_EVENT: CustomEvent,
    EventType.SCREEN_VIEW: ScreenViewEvent,
    EventType.ERROR: ErrorEvent,
    EventType.PRIVACY_SETTING_CHANGE: PrivacySettingChangeEvent,
    EventType.USER_ATTRIBUTE_CHANGE: UserAttributeChangeEvent,
    EventType.USER_IDENTITY_CHANGE: UserIdentityChangeEvent,
    EventType.PUSH_SUBSCRIPTION: PushSubscriptionEvent,
    EventType.APPLICATION_STATE_TRANSITION: ApplicationStateTransitionEvent,
    EventType.PUSH_MESSAGE_RECEIPT: PushMessageReceiptEvent,
    EventType.PUSH_MESSAGE_OPEN: PushMessageOpenEvent,
    EventType.PRODUCT_ACTION: ProductActionEvent,
    EventType.PROMOTION_ACTION: PromotionActionEvent,
    EventType.IMPRESSION: ImpressionEvent,
    EventType.ATTRIBUTION: AttributionEvent,
}


def read_event(value: Any) -> Event:
    """Read one event of any kind; never raises for what it holds."""
    if isinstance(value, Event):
        return value
    event = by_type(value, _BY_TYPE, UnknownEvent)
    return as_malformed(event, MalformedEvent) if event.malformed else event
