"""Rules of OAuth2: what mParticle needs to obtain a token and to hand it on."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from shared.firehose.rules.violation import Violation, is_blank, is_integer, objects_of, text_of

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def oauth2_rules(kind: Mapping[str, Any], where: str) -> Iterator[Violation]:
    """Yield what is wrong with the `authentication` of the registration at `where`."""
    oauth2 = kind.get("authentication")
    if not isinstance(oauth2, Mapping):
        return
    where = f"{where}.authentication"
    for field in ("authorization_url", "token_url", "refresh_url"):
        address = oauth2.get(field)
        if isinstance(address, str) and not _is_https(address):
            yield Violation(
                "oauth2.url",
                f"{where}.{field}",
                f"{field} is not an https address, and credentials travel to it.",
                "Write it in full: https://partner.example/oauth/...",
            )
    if not text_of(oauth2.get("client_id")).strip():
        yield Violation(
            "oauth2.client_id",
            f"{where}.client_id",
            "There is no client_id, by which your server knows mParticle.",
            "Register mParticle as a client of yours and give its id.",
        )
    header, custom = text_of(oauth2.get("custom_header_name")), oauth2.get("access_token_type") == "custom_header"
    if custom and not _HEADER_NAME.fullmatch(header):
        yield Violation(
            "oauth2.header",
            f"{where}.custom_header_name",
            "The token is to travel in a header of your own, whose name is missing or no header name."
            if header
            else "The token is to travel in a header of your own, and its name is missing.",
            "Set custom_header_name (X-Partner-Token, say), or access_token_type to bearer.",
        )
    if header and not custom:
        yield Violation(
            "oauth2.header_unused",
            f"{where}.custom_header_name",
            "A header's name is given, and the access token does not travel in it.",
            "Set access_token_type to custom_header, or leave custom_header_name out.",
            is_warning=True,
        )
    expires = oauth2.get("default_expires_in")
    if is_integer(expires) and expires < 1:
        yield Violation(
            "oauth2.expires",
            f"{where}.default_expires_in",
            f"default_expires_in is {expires}: a token that is never valid.",
            "Set it to the seconds for which a token is good, or leave it out.",
        )
    if is_integer(expires) and expires >= 1 and not oauth2.get("refresh_url"):
        yield Violation(
            "oauth2.refresh",
            f"{where}.refresh_url",
            "Tokens expire and there is no refresh_url.",
            "Set refresh_url, the token_url again if your server refreshes there.",
            is_warning=True,
        )
    unsaid = [field for field in ("grant_type", "access_token_type") if not oauth2.get(field)]
    if unsaid:
        yield Violation(
            "oauth2.unsaid",
            f"{where}.{unsaid[0]}",
            f"{' and '.join(unsaid)} {'are' if len(unsaid) > 1 else 'is'} left to mParticle.",
            "Say it: grant_type authorization_code, access_token_type bearer or custom_header.",
            is_warning=True,
        )
    for index, scope in enumerate(objects_of(oauth2, "scopes")):
        name = scope.get("name")
        if isinstance(name, str) and (not name or re.search(r"\s", name)):
            yield Violation(
                "oauth2.scope",
                f"{where}.scopes[{index}].name",
                "A scope's name is empty or holds a blank, which is what separates two scopes.",
                "Write each scope as an entry of its own.",
            )
        if is_blank(scope.get("description")):
            yield Violation(
                "text.blank",
                f"{where}.scopes[{index}].description",
                "The scope's description is blank.",
                "Say what the customer allows with it.",
            )


def _is_https(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        return False
