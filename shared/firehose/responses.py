"""The responses as a sender reads them; the one to a registration is in shared/firehose/registration.py.

A deployment's functions build their responses by hand, as plain dictionaries: these models are for tests, and for tools
that check an integration from outside.
"""

from typing import Literal

from pydantic import Field

from shared.firehose.messages import Message
from shared.firehose.values import Flag, Settings


class EventProcessingResponse(Message):
    """`suspend_subscription` is sent only when true."""

    type: Literal["event_processing_response"] = "event_processing_response"
    suspend_subscription: Flag = False


class AudienceMembershipChangeResponse(Message):
    """`suspend_subscription` is always sent; true stops mParticle until the customer resumes."""

    type: Literal["audience_membership_change_response"] = "audience_membership_change_response"
    suspend_subscription: Flag = None


class AudienceSubscriptionResponse(Message):
    type: Literal["audience_subscription_response"] = "audience_subscription_response"
    audience_subscription_settings: Settings = Field(default_factory=dict)


class DsrProcessingResponse(Message):
    type: Literal["dsr_processing_response"] = "dsr_processing_response"
