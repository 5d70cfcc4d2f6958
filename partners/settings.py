"""What was set: by the operator in the environment, by the customer in mParticle. For `from_env` and `deliveries`.

    one_of(env, "ACME_REGION", ("us", "eu"))    `us` when it is not set; InvalidSettings when it is neither
    url(env, "ACME_URL", "https://api.acme.example")    https, or http on a loopback address; no credentials in it
    rate(env, "ACME_RATE")                      `50` or `45/20` as a Rate; None when it is not set
    settings_of(request)                        the customer's settings by id; {} when none came
    credential(settings, "apiKey")              as a Secret; InvalidRequest when it is missing or fits into no header
    is_on(settings, "shareEmails")              on: "True", "true", " TRUE "; "False", "0", "yes", "" and absent are off

mParticle sends every setting as text, whatever its declared type: `bool("False")` is True. A number is read by
`partners.reading.whole(settings.get("listId"))`.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from partners.base import Rate, Secret
from shared.errors import InvalidRequest, InvalidSettings
from shared.firehose import Request

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def one_of(env: Mapping[str, str], variable: str, allowed: Sequence[str]) -> str:
    """A variable with few values; the first is meant when it is not set. Raises InvalidSettings."""
    value = env.get(variable) or allowed[0]
    if value not in allowed:
        raise InvalidSettings(f"{variable} must be one of {', '.join(allowed)}")
    return value


def url(env: Mapping[str, str], variable: str, default: str = "") -> str:
    """An address to send to, as it was written. Raises InvalidSettings."""
    text = env.get(variable) or default
    try:
        address = urlsplit(text)
    except ValueError:
        raise InvalidSettings(f"{variable} can not be read as a URL") from None
    is_secure = address.scheme == "https" or (address.scheme == "http" and address.hostname in _LOOPBACK)
    if not is_secure or not address.hostname:
        raise InvalidSettings(f"{variable} must be an https URL (http only on a loopback address)")
    if address.username or address.password:
        raise InvalidSettings(f"{variable} must not hold credentials: they belong into the account settings")
    return text


def rate(env: Mapping[str, str], variable: str) -> Rate | None:
    """`50` is 50 calls a second, `45/20` is 45 calls every 20 seconds; nothing is no limit. Raises InvalidSettings."""
    text = env.get(variable)
    if not text:
        return None
    calls, _, per_s = text.partition("/")
    try:
        return Rate(float(calls), float(per_s or 1))
    except ValueError:
        raise InvalidSettings(f"{variable} must be calls a second (50) or calls/seconds (45/20)") from None


def settings_of(request: Request) -> Mapping[str, str]:
    """The customer's account settings by id, and with them those of the connection."""
    account = getattr(request, "account", None)
    return account.account_settings if account else {}


def credential(settings: Mapping[str, str | None], name: str) -> Secret:
    """A credential for a header. Raises InvalidRequest, which names the setting and never its value."""
    value = settings.get(name)
    if not value or not value.isprintable() or not value.isascii():
        raise InvalidRequest("must be set by the customer to printable ASCII text", f"account.account_settings.{name}")
    return Secret(value)


def is_on(settings: Mapping[str, str | None], name: str) -> bool:
    """Whether a boolean setting is true."""
    return (settings.get(name) or "").strip().lower() == "true"
