"""What a user has agreed to."""

from pydantic import Field

from shared.firehose.model import Wire
from shared.firehose.values import Flag, Map, Text, Whole


class Consent(Wire):
    """`consented` is None when it was not said, which is not the same as False. `location` is a string here."""

    consented: Flag = None
    document: Text = None
    timestamp_unixtime_ms: Whole = None
    location: Text = None
    hardware_id: Text = None


class ConsentState(Wire):
    """Consents by purpose."""

    gdpr_consent_state: Map[Consent] = Field(default_factory=dict)
    ccpa_consent_state: Map[Consent] = Field(default_factory=dict)
