"""The requests that a partner is tried with: valid ones as mParticle would send them to it, its own samples, and odd
ones.

Settings are those that the partner's registration declares. A confidential one has a canary as its value, which may
show in a secret header and nowhere else.
"""

import codecs
import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest_fn.replies import SUBSCRIPTION
from ops.partner.declaration import setting_lists
from ops.registration.filled_in import value_of
from shared.errors import InvalidRequest, InvalidSettings
from shared.firehose import BooleanSetting, Registration, Setting, TextSetting
from shared.json_text import loads
from shared.message import AUDIENCE, ERASURE, EVENTS, Message, decode, encode, head_of, to_json
from testkit.requests import ENVIRONMENTS, EVENT_TYPES, make_request

SAMPLE_ACCOUNT_ID = 7
_TRUTHS = ("true", "false", "True", "False")
"""The texts that mParticle sends for a checked and an unchecked box."""


@dataclass(frozen=True, slots=True)
class Case:
    """One request to try. `odd`: it is not valid, so the partner may refuse it with InvalidRequest."""

    label: str
    request: Mapping[str, Any]
    odd: bool = False

    def message(self) -> Message:
        """The request as the worker takes it from the queue, numbers exact. Raises InvalidRequest."""
        text = to_json(self.request)
        return decode(encode(head_of(self.request, text, received_at_ms=0), text)[0])


def canaries(declared: Registration) -> dict[str, str]:
    """A value for each confidential setting, unlike anything else."""
    settings = [setting for settings in setting_lists(declared) for setting in settings]
    return {
        one.id: f"k{hashlib.sha256(one.id.encode()).hexdigest()[:31]}"
        for one in settings
        if isinstance(one, TextSetting) and one.confidential
    }


def account_settings(declared: Registration, samples: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """A customer's settings as requests have them, canaries included."""
    settings: dict[str, str] = _Settings(declared, samples.values()).fill({}, seed=0)["account"]["account_settings"]
    return settings


def read_samples(files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Requests that a partner's author wrote down, by file. Raises InvalidSettings for a file that holds none."""
    samples = {}
    for file in files:
        try:
            content = loads(file.read_bytes().removeprefix(codecs.BOM_UTF8))
        except (OSError, InvalidRequest) as error:
            raise InvalidSettings(f"{file} is no JSON ({type(error).__name__}): mend it, or take it away") from None
        if not isinstance(content, dict) or not isinstance(content.get("type"), str):
            raise InvalidSettings(f"{file} holds no request: a JSON object with a `type`")
        samples[f"{file.parent.name}/{file.name}"] = content
    return samples


def cases(
    declared: Registration, samples: Mapping[str, dict[str, Any]], *, count: int, first_seed: int
) -> Iterator[Case]:
    """All cases for what the partner registered. `count` is how many are made of each kind, the sweep and odd ones on
    top.
    """
    settings = _Settings(declared, samples.values())
    for name, sample in samples.items():
        if sample["type"] in _kinds(declared):
            yield Case(f"sample {name}", settings.fill(sample, seed=0, keep=True))
    seeds = range(first_seed, first_seed + count)
    for kind in _kinds(declared):
        for seed in seeds:
            made = make_request(kind, seed=seed, account_id=SAMPLE_ACCOUNT_ID)
            filled = settings.fill(made, seed=seed)
            yield Case(f"{kind}, seed {seed}", filled if seed % 4 == 0 else _with_asked(filled, declared))
    if declared.event_processing_registration is not None:
        for seed, environment in enumerate(ENVIRONMENTS, start=first_seed):
            made = make_request(
                EVENTS, seed=seed, events=len(EVENT_TYPES), environment=environment, account_id=SAMPLE_ACCOUNT_ID
            )
            filled = _with_asked(settings.fill(made, seed=seed), declared)
            yield Case(f"{environment} with all types of event, seed {seed}", filled)
    for kind in _kinds(declared):
        made = make_request(kind, seed=first_seed, events=4, account_id=SAMPLE_ACCOUNT_ID)
        for label, request in _odd(_with_asked(settings.fill(made, seed=first_seed), declared)):
            yield Case(f"{kind} {label}", request, odd=True)


def _with_asked(request: dict[str, Any], declared: Registration) -> dict[str, Any]:
    """Give every user the identities that the registration asks for: a partner that goes by one would see few users."""
    asked = declared.permissions.user_identities if declared.permissions else []
    for holder in (request, *(request.get("user_profiles") or ())):
        if "user_identities" in holder:
            present = {one["type"] for one in holder["user_identities"]}
            holder["user_identities"] += [
                {"type": str(one.type), "encoding": str(one.encoding), "value": f"{one.type}-{request['id'][:8]}"}
                for one in asked
                if one.type not in present
            ]
    if "subject_identities" in request:
        for name in ("controller_customer_id", "email"):
            value = {"encoding": "raw", "value": f"{name}-{request['id'][:8]}"}
            request["subject_identities"].setdefault(name, value)
    return request


def _kinds(declared: Registration) -> Sequence[str]:
    asked = (
        (EVENTS, declared.event_processing_registration),
        (AUDIENCE, declared.audience_processing_registration),
        (SUBSCRIPTION, declared.audience_processing_registration),
        (ERASURE, declared.dsr_processing_registration),
    )
    return [kind for kind, registration in asked if registration is not None]


class _Settings:
    """Values for the declared settings: a sample's, else the default, else a value that fits."""

    def __init__(self, declared: Registration, samples: Iterable[Mapping[str, Any]]) -> None:
        self._canaries = canaries(declared)
        self._account: list[Setting] = []
        self._audience: list[Setting] = []
        for part in (
            declared.event_processing_registration,
            declared.audience_processing_registration,
            declared.dsr_processing_registration,
        ):
            if part is not None:
                self._account += [*part.account_settings, *getattr(part, "event_connection_settings", ())]
                self._audience += getattr(part, "audience_subscription_settings", ())
        self._said: dict[str, Any] = {}
        for sample in samples:
            account = sample.get("account")
            said = account.get("account_settings") if isinstance(account, Mapping) else None
            self._said |= said if isinstance(said, Mapping) else {}

    def fill(self, request: Mapping[str, Any], *, seed: int, keep: bool = False) -> dict[str, Any]:
        """The request with settings; `keep`: its own settings stay, except secrets."""
        filled = copy.deepcopy(dict(request))
        account = filled.setdefault("account", {})
        if isinstance(account, dict):
            own = account.get("account_settings") if keep else {}
            own = own if isinstance(own, dict) else {}
            account["account_id"] = SAMPLE_ACCOUNT_ID
            account["account_settings"] = {**self._values(self._account, seed), **own, **self._canaries}
        for holder in (filled, *_audiences(filled)):
            if "audience_subscription_settings" in holder and self._audience and not keep:
                holder["audience_subscription_settings"] = self._values(self._audience, seed)
        return filled

    def _values(self, settings: Iterable[Setting], seed: int) -> dict[str, str]:
        return {one.id: self._canaries.get(one.id) or self._value(one, seed) for one in settings}

    def _value(self, setting: Setting, seed: int) -> str:
        if isinstance(setting, BooleanSetting):
            return _TRUTHS[seed % len(_TRUTHS)]
        said = self._said.get(setting.id)
        return str(said) if said else value_of(setting, "sample")


def _audiences(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The audiences in a request's profiles, as far as they are there."""
    profiles = request.get("user_profiles")
    for profile in profiles if isinstance(profiles, list) else ():
        audiences = profile.get("audiences") if isinstance(profile, dict) else None
        yield from (one for one in audiences or () if isinstance(one, dict))


# --- odd requests: what production sends on a bad day ---------------------------------------------------------------

HARD_TEXTS = (
    "a b/../c?x=1&y#z",
    "..",
    "line\nbreak\r\nX-Header: 1",
    "😀 größe 자전거",
    "\ud800",
    "\x00",
    "x" * 5_000,
    " ",
)
_NO_USER = ("user_identities", "user_attributes", "user_attribute_lists", "mpid", "device_application_stamp")
_NO_CONTEXT = ("runtime_environment", "consent_state", "integration_attributes", "partner_identities", "timestamp_ms")


def _odd(request: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    def without(*names: str) -> dict[str, Any]:
        return {name: value for name, value in request.items() if name not in names}

    yield "without an account", without("account")
    yield "without settings", {**request, "account": {"account_id": SAMPLE_ACCOUNT_ID}}
    for text in HARD_TEXTS:
        label = json.dumps(text if len(text) < 100 else f"{text[:3]}... ({len(text)} characters)", ensure_ascii=True)
        yield f"with the text {label} everywhere", _with_text(request, text)
    if request["type"] == EVENTS:
        yield "without a user", without(*_NO_USER)
        yield "without its context", without(*_NO_CONTEXT)
        events = [{"type": "brand_new", "id": "e-1"}, {"id": "e-2"}, {}, {"type": "custom_event"}, *_bare_events()]
        yield "with events of no or an unknown type, and empty ones", {**request, "events": events}
        yield "with events that are none", {**request, "events": [None, 5, "text", [], request["events"][0]]}
        unknown = [{"type": "brand_new", "encoding": "rot13", "value": "v"}, {"type": "email"}, {}]
        odd = {"user_identities": unknown, "runtime_environment": {"type": "toaster", "identities": unknown}}
        yield "with an unknown environment and identities", {**request, **odd}
    elif request["type"] == AUDIENCE:
        action = [{"audience_id": 1, "action": "brand_new"}, {}, {"audience_id": 2, "action": "add"}]
        profiles = [{}, {"audiences": action}, {"user_identities": [{"type": "email"}, {}], "audiences": action}]
        yield "with profiles that lack things", {**request, "user_profiles": profiles}
    elif request["type"] == ERASURE:
        yield "without identities", without("subject_identities")
        unknown_identities = {"brand_new": {"value": "v"}, "email": {}, "controller_customer_id": {"value": None}}
        yield "with unknown and empty identities", {**request, "subject_identities": unknown_identities}


def _bare_events() -> list[dict[str, Any]]:
    return [{"type": kind, "id": f"bare-{kind}"} for kind in EVENT_TYPES]


def _with_text(request: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Put a text wherever a customer's user or app could have put it; account and protocol stay as they are."""

    def replaced(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: item if key == "account" else replaced(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item, name) for item in value]
        kept = name in {"type", "encoding", "action", "firehose_version", "submitted_time", "id", "custom_event_type"}
        return value if kept or not isinstance(value, str) else text

    made: dict[str, Any] = replaced(request)
    return made
