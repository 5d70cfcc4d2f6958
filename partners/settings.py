"""Reads settings: the operator's in the environment, the customer's in mParticle. For `from_env` and `deliveries`.

    one_of(env, "ACME_REGION", ("us", "eu"))    `us` when it is not set; InvalidSettings when it is neither
    url(env, "ACME_URL", "https://api.acme.example")    https, or http on a loopback address; as it can be called
    rate(env, "ACME_RATE")                      `50` or `45/20` as a Rate; None when it is not set
    headers(env, "ACME_HEADERS")                a JSON object of header names and texts; {} when it is not set
    secret_headers(env, "ACME_SECRET_HEADERS")  the same, kept in SSM or Secrets Manager: the variable says where
    settings_of(request)                        the customer's settings by id; {} when none came
    credential(settings, "apiKey")              as a Secret; InvalidRequest when it is missing or fits into no header
    signing_secret(settings, "signingSecret")   as a Secret for `sign_with`; InvalidRequest when it is no base64 key
    host_of(settings, "region", {"us": "https://us.acme.example", "eu": "https://eu.acme.example"})
                                                one of your hosts, which the customer chose; InvalidRequest for another
    is_on(settings, "shareEmails")              on: "True", "true", " TRUE "; "False", "0", "yes", "" and absent are off

mParticle sends every setting as text, whatever its declared type: `bool("False")` is True. A number is read by
`partners.reading.whole(settings.get("listId"))`.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from partners.address import callable_url
from partners.base import Rate, Secret
from partners.headers import is_name, why_reserved
from partners.signing import key_of
from shared import stored
from shared.environment import one_of
from shared.errors import InvalidRequest, InvalidSettings
from shared.firehose import Request

__all__ = [
    "credential",
    "headers",
    "host_of",
    "is_on",
    "one_of",
    "rate",
    "secret_headers",
    "settings_of",
    "signing_secret",
    "url",
]

_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(?:/([0-9]{1,9}(?:\.[0-9]{1,9})?))?")
_SLOWEST_RATE, _FASTEST_RATE = 1 / 3_600, 1_000_000.0
"""In calls a second: one an hour, because a message waits for three days at most; a million, as nobody takes more."""


def url(env: Mapping[str, str], variable: str, default: str = "") -> str:
    """An address to send to, as it goes over the wire (partners/address.py). Raises InvalidSettings."""
    try:
        return callable_url(env.get(variable) or default)
    except ValueError as error:
        raise InvalidSettings(f"{variable} {error}") from None


def rate(env: Mapping[str, str], variable: str) -> Rate | None:
    """A rate: `50` is 50 calls a second, `45/20` is 45 calls every 20 seconds; empty: None. Raises InvalidSettings."""
    text = env.get(variable)
    if not text:
        return None
    form = _RATE.fullmatch(text.strip())
    try:
        found = Rate(float(form[1]), float(form[2] or 1)) if form else None
    except ValueError:
        found = None
    if found is None or not _SLOWEST_RATE <= found.per_second <= _FASTEST_RATE:
        raise InvalidSettings(
            f"{variable} must be calls a second (50) or calls/seconds (45/20), from one an hour to a million a second"
        )
    return found


def headers(env: Mapping[str, str], variable: str, *, taken: Collection[str] = ()) -> dict[str, str]:
    """Read a JSON object of header names and texts. Raises InvalidSettings.

    `taken` are the names of headers that are sent anyway: a second one would be one too many.
    """
    text = env.get(variable)
    return _headers(text, variable, taken) if text else {}


def secret_headers(env: Mapping[str, str], variable: str, *, taken: Collection[str] = ()) -> dict[str, Secret] | None:
    """The same for headers that nobody may read in the function's environment: the variable holds a reference,
    `ssm:/name` or `secretsmanager:ARN`, which a function replaces by the stored text before it sends. None where that
    has not been done: for the registration, say. Raises InvalidSettings.
    """
    text = env.get(variable)
    if not text:
        return {}
    if stored.is_reference(text):
        return None
    if not text.startswith("{"):  # neither a reference nor the text that it stands for
        raise InvalidSettings(
            f"{variable} must say where a JSON object of header names and texts is kept: {stored.FORM}"
        )
    return {name: Secret(value) for name, value in _headers(text, variable, taken).items()}


def _headers(text: str, variable: str, taken: Collection[str]) -> dict[str, str]:
    try:
        found: Any = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, _Pairs) or not all(is_name(name) and _fits(value) for name, value in found):
        raise InvalidSettings(
            f'{variable} must be a JSON object of header names and texts: {{"X-Source": "mparticle"}}'
        )
    names = [name.lower() for name, _ in found]
    for name, _ in found:
        if names.count(name.lower()) > 1:
            raise InvalidSettings(f"{variable} names the header {name} twice: names have no case")
        if why := why_reserved(name):
            raise InvalidSettings(f"{variable} must not name the header {name}: {why}")
        if name.lower() in {one.lower() for one in taken}:
            raise InvalidSettings(f"{variable} must not name the header {name}: another setting sends it")
    return dict(found)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with every name that it was written with: a dict would keep only the last of two equal names."""


def _fits(value: object) -> bool:
    """Whether a header's value arrives unchanged: receivers drop the spaces around it."""
    return isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()


def settings_of(request: Request) -> Mapping[str, str]:
    """The customer's account settings by id, together with those of the connection."""
    account = getattr(request, "account", None)
    return account.account_settings if account else {}


def credential(settings: Mapping[str, str | None], name: str) -> Secret:
    """A credential for a header. Raises InvalidRequest, which names the setting and never its value."""
    value = settings.get(name)
    if not value or not _fits(value):
        raise InvalidRequest(
            "must be set by the customer to printable ASCII text, without a space at an end",
            f"account.account_settings.{name}",
        )
    return Secret(value)


def signing_secret(settings: Mapping[str, str | None], name: str) -> Secret:
    """A secret for `sign_with`. Raises InvalidRequest, which names the setting and never its value."""
    try:
        key_of(settings.get(name) or "")
    except ValueError as error:
        raise InvalidRequest(str(error), f"account.account_settings.{name}") from None
    return Secret(settings[name] or "")


def host_of(settings: Mapping[str, str | None], name: str, hosts: Mapping[str, str]) -> str:
    """The host of a customer's account, by the name that the customer set; the first host is the default. Raises
    InvalidRequest for another name: an address of the customer's own is never called.
    """
    chosen = (settings.get(name) or next(iter(hosts))).strip().lower()
    for known, host in hosts.items():
        if known.lower() == chosen:
            return host
    raise InvalidRequest(f"must be one of {', '.join(hosts)}", f"account.account_settings.{name}")


def is_on(settings: Mapping[str, str | None], name: str) -> bool:
    """Whether a boolean setting is true."""
    return (settings.get(name) or "").strip().lower() == "true"
