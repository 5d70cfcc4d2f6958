"""What changed between two registrations, in words, and which of the changes mParticle or its customers will notice.

A registration is taken as a set of named things: a setting by its id, an identity by its type, an event type by itself.
Their order in lists does not matter.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.console.findings import Finding, Severity
from shared.firehose.rules import AUDIENCES, ERASURES, EVENTS

PERMISSIONS = "Permissions"
WHOLE_PART = "the whole part"

_PARTS = {"permissions": PERMISSIONS, EVENTS: "Events", AUDIENCES: "Audiences", ERASURES: "Erasure requests"}
_NAMES = {
    "account_settings": "account setting",
    "event_connection_settings": "connection setting",
    "audience_subscription_settings": "subscription setting",
    "supported_event_types": "event type",
    "supported_runtime_environments": "runtime environment",
    "supported_system_notification_types": "system notification",
    "supported_dsr_types": "request type",
    "user_identities": "user identity",
    "device_identities": "device identity",
    "partner_identities": "partner identity",
    "scopes": "scope",
}
_ENVELOPE = frozenset({"type", "id", "timestamp_ms", "firehose_version", "sdk_version"})
_FIXED = "partner identity"
_IDENTITIES = frozenset({"user identity", "device identity", _FIXED})
_SETTINGS = frozenset({"account setting", "connection setting", "subscription setting"})
_SIGN_IN = frozenset(
    f"authentication {field}"
    for field in ("authorization_url", "token_url", "client_id", "access_token_type", "custom_header_name")
)
_NOT_SENT_ANY_MORE = {
    "event type": "Events of this type are no longer sent.",
    "runtime environment": "Events from this environment are no longer sent.",
    "system notification": "Such notifications are no longer sent.",
    "request type": "Such requests are no longer sent.",
}


@dataclass(frozen=True, slots=True)
class Thing:
    """One part of a registration that has a name: `kind` "account setting", `name` "apiKey"."""

    part: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


@dataclass(frozen=True, slots=True)
class Change:
    """`before` or `after` is None if the thing was added or removed."""

    thing: Thing
    before: Any
    after: Any

    @property
    def sign(self) -> str:
        """+ added, - removed, ~ changed."""
        return "+" if self.before is None else "-" if self.after is None else "~"

    def __str__(self) -> str:
        if self.before is None or self.after is None:
            return f"{self.thing}{_described(self.before if self.after is None else self.after)}"
        if isinstance(self.before, Mapping) and isinstance(self.after, Mapping):
            return f"{self.thing}: {'; '.join(_differences(self.before, self.after))}"
        return f"{self.thing}: {_shown(self.before)} → {_shown(self.after)}"


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return what was added, removed and changed, part by part. Both are registrations as they are written."""
    before, after = things(old), things(new)
    in_order = [*(thing for thing in before if thing not in after), *after]
    found = [Change(thing, before.get(thing), after.get(thing)) for thing in in_order]
    parts = ["Integration", *_PARTS.values()]
    return sorted((one for one in found if one.before != one.after), key=lambda one: parts.index(one.thing.part))


def things(document: Mapping[str, Any]) -> dict[Thing, Any]:
    """Return everything in a registration that has a name, with its fields."""
    found: dict[Thing, Any] = {}
    for field, value in document.items():
        if field in _PARTS:
            part = _PARTS[field]
            found[Thing(part, WHOLE_PART, "")] = True
            for thing, content in _inside(part, value):
                found[_apart(thing, found)] = content
        elif field not in _ENVELOPE:
            found[Thing("Integration", field, "")] = value
    return found


def _inside(part: str, holder: Mapping[str, Any], of: str = "") -> Iterator[tuple[Thing, Any]]:
    for field, value in holder.items():
        if isinstance(value, Mapping):
            yield from _inside(part, value, f"{field} ")
        elif not isinstance(value, list):
            yield Thing(part, f"{of}{field}", ""), value
        else:
            for one in value:
                if isinstance(one, Mapping):
                    key = "id" if "id" in one else "name" if field == "scopes" else "type"
                    yield (
                        Thing(part, _NAMES[field], one[key]),
                        {name: said for name, said in one.items() if name != key},
                    )
                else:
                    yield Thing(part, _NAMES[field], one), True


def _apart(thing: Thing, found: Mapping[Thing, Any]) -> Thing:
    """Number things with the same name, which a rule forbids, so that they stay apart."""
    number, numbered = 1, thing
    while numbered in found:
        number += 1
        numbered = Thing(thing.part, thing.kind, f"{thing.name} ({number})")
    return numbered


def felt(found: list[Change], *, same_version: bool) -> list[Finding]:
    """Return which changes may never be made (errors), and which existing customers notice (warnings)."""
    whole = {one.thing.part for one in found if one.thing.kind == WHOLE_PART}
    findings = [
        finding
        for one in found
        # What comes or goes with its part is told with the part; a permission is asked for by itself.
        if one.thing.kind == WHOLE_PART or one.thing.part not in whole - {PERMISSIONS}
        for finding in _felt(one)
    ]
    if found and same_version:
        findings.append(
            Finding(
                "diff.same_version",
                "The registration changed and its version did not.",
                "Declare a new version, so that both sides know which one they speak of.",
                Severity.WARNING,
            )
        )
    return findings


def _felt(change: Change) -> Iterator[Finding]:
    thing, before, after = change.thing, change.before, change.after
    if thing.kind == WHOLE_PART and after is None and thing.part != PERMISSIONS:
        yield _customers("diff.part_removed", f"{thing.part} are no longer registered: none is sent to any customer.")
    elif thing.kind in _SETTINGS:
        yield from _setting_felt(thing, before, after)
    elif thing.kind in _IDENTITIES:
        yield from _identity_felt(thing, before, after)
    elif thing.kind in _NOT_SENT_ANY_MORE and after is None:
        yield _customers("diff.no_longer_sent", f"{thing.part}: {thing} is gone. {_NOT_SENT_ANY_MORE[thing.kind]}")
    elif thing.kind.startswith("allow_") and after is None:
        yield _customers("diff.no_longer_sent", f"{thing.part}: {thing} is gone. What it opens is no longer sent.")
    elif thing.kind == "max_data_age_hours" and _hours(after) < _hours(before):
        yield _customers("diff.data_age", f"{thing.part}: {change}. Older events are no longer sent.")
    elif thing.kind in _SIGN_IN:
        yield _customers("diff.authentication", f"{thing.part}: {change}. Customers may have to sign in again.")


def _setting_felt(thing: Thing, before: Any, after: Any) -> Iterator[Finding]:
    said = f"{thing.part}: the {thing}"
    if after is None:
        yield _customers("diff.setting_removed", f"{said} is gone: what customers filled in is no longer sent.")
        return
    if before is not None and before.get("type") != after.get("type"):
        yield _customers(
            "diff.setting_type",
            f"{said} was of type {before.get('type')} and is {after.get('type')}: old values may not fit.",
        )
    if after.get("required") and "default_value" not in after and not (before or {}).get("required"):
        how = "is new and required" if before is None else "is required now"
        yield _customers("diff.setting_required", f"{said} {how}, without a default: existing customers have none.")


def _identity_felt(thing: Thing, before: Any, after: Any) -> Iterator[Finding]:
    said = f"{thing.part}: {thing}"
    if after is None:
        if thing.kind == _FIXED:
            yield Finding(
                "diff.partner_identity",
                f"{said} is gone; the name of a partner identity is fixed once it is registered.",
                f"Declare {thing.name} again; if it was never approved, say so to mParticle when you send this.",
            )
        else:
            yield _customers("diff.no_longer_sent", f"{said} is gone: it is no longer sent.")
        return
    if after.get("required") and not (before or {}).get("required"):
        yield _customers("diff.identity_required", f"{said} is required now: users without it are no longer sent.")
    if before is not None and before.get("encoding") != after.get("encoding"):
        how = f"was sent {before.get('encoding')} and is {after.get('encoding')}"
        yield _customers("diff.encoding", f"{said} {how}: what you stored of known users does not match any more.")


def _customers(rule: str, message: str) -> Finding:
    return Finding(rule, message, "Tell existing customers before this goes live, or take it back.", Severity.WARNING)


def _hours(age: Any) -> float:
    return float("inf") if age == -1 else age if isinstance(age, int) else 0


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for field in [*before, *(field for field in after if field not in before)]:
        if before.get(field) != after.get(field):
            yield f"{field} {_shown(before.get(field))} → {_shown(after.get(field))}"


def _described(content: Any) -> str:
    if content is True:
        return ""
    if not isinstance(content, Mapping):
        return f": {_shown(content)}"
    words = [str(content[key]) for key in ("type", "encoding") if key in content]
    words += [flag for flag in ("required", "confidential") if content.get(flag)]
    if "default_value" in content and content.get("type") != "boolean":
        words.append(f"default {_shown(content['default_value'])}")
    return f" ({', '.join(words)})" if words else ""


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
