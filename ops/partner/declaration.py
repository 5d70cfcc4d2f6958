"""What must hold of a partner before a request comes: its name, its limits, its registration."""

import inspect
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ops.console.findings import Severity
from ops.registration.check import rule_findings
from ops.registration.declared import written
from partners import Bulk, Limits, Partner, RateHeaders
from shared.errors import SpillwayError, raised_at
from shared.firehose import Registration, Request, Setting, rules_unenforced
from testkit.rules import Fault

UNKNOWN = frozenset({"registration.invalid", "registration.raises", "registration.type", "declaration.reads"})
"""Faults that leave no registration to check by, or no way to read a request."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def faults(partner: Partner) -> Iterator[Fault]:
    """What is wrong with a declaration."""
    name = getattr(partner, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        mend = 'Declare name = "acme", say: at most 64 small letters, digits, dots and dashes; it stands in log lines'
        yield Fault("declaration.name", "its name is missing, or is no short plain name", mend)
    in_order: Any = partner.in_order
    if not isinstance(in_order, bool):
        yield Fault(
            "declaration.in_order", "in_order is neither True nor False", "declare in_order = False, or leave it out"
        )
    yield from _reads_faults(partner.reads)
    yield from _limit_faults(partner.limits)
    try:
        with rules_unenforced():  # one by one they say more than an error that names them all
            declared: Any = partner.registration()
    except ValidationError as error:
        yield from _in_words(error, raised_at(error, folder_of(partner)))
        return
    except Exception as error:
        kind = f": {error}" if isinstance(error, SpillwayError) else ""
        yield Fault(
            "registration.raises",
            f"registration() raises {type(error).__name__} in {raised_at(error, folder_of(partner))}{kind}",
            "registration() needs nothing but what from_env was given",
        )
        return
    if not isinstance(declared, Registration):
        mend = "return Registration(name=..., version=..., ...), from shared.firehose"
        yield Fault("registration.type", f"registration() gives a {type(declared).__name__}", mend)
        return
    yield from _registration_faults(declared)


def _reads_faults(reads: Any) -> Iterator[Fault]:
    if reads is None:
        return
    mend = 'declare reads = frozenset({"account", "events"}), by the names of fields, or leave it out'
    if not isinstance(reads, Collection) or isinstance(reads, str | bytes):
        yield Fault("declaration.reads", f"reads is a {type(reads).__name__}", mend)
        return
    fields = {name for kind in get_args(Request) for name in kind.model_fields}
    if unknown := ", ".join(sorted(str(one) for one in reads if not isinstance(one, str) or one not in fields)):
        yield Fault("declaration.reads", f"reads names what is no field of a request: {unknown}", mend)


def _limit_faults(limits: Any) -> Iterator[Fault]:
    if not isinstance(limits, Limits):
        yield Fault(
            "limits.type",
            f"limits is a {type(limits).__name__}",
            "declare limits = Limits(rate=Rate(50)), or leave it out",
        )
        return
    if not isinstance(limits.bulk, Mapping) or not all(isinstance(one, Bulk) for one in limits.bulk.values()):
        mend = 'declare Limits(bulk={"users": Bulk(items=100)}): by the name that stands in `merge`'
        yield Fault("limits.bulk", "the bulk endpoints of its limits are no Bulks by name", mend)
    declared: Any = limits.rate_headers
    if not isinstance(declared, RateHeaders | None):
        mend = 'declare Limits(rate_headers=RateHeaders("X-RateLimit-Remaining", "X-RateLimit-Reset"))'
        yield Fault("limits.rate_headers", "the rate headers of its limits are no RateHeaders", mend)


def _registration_faults(declared: Registration) -> Iterator[Fault]:
    events = declared.event_processing_registration
    parts = (events, declared.audience_processing_registration, declared.dsr_processing_registration)
    if not any(parts):
        mend = "add event_processing_registration, audience_processing_registration or dsr_processing_registration"
        yield Fault("registration.empty", "the registration asks for nothing: nothing would be sent", mend)
    if events is not None and not events.supported_event_types:
        mend = "list them in supported_event_types"
        yield Fault("registration.no_events", "events are asked for, and no type of event is", mend)
    if events is not None and not events.supported_runtime_environments:
        mend = "list them in supported_runtime_environments: list(EnvironmentType)"
        yield Fault("registration.no_environments", "events are asked for, and of no environment", mend)
    for one in rule_findings(written(declared)):
        if one.severity is Severity.ERROR:
            yield Fault(one.id, one.message.rstrip("."), one.mend)


def setting_lists(declared: Registration) -> list[list[Setting]]:
    """Each list of settings that a registration holds."""
    parts: list[BaseModel | None] = [
        declared.event_processing_registration,
        declared.audience_processing_registration,
        declared.dsr_processing_registration,
    ]
    names = ("account_settings", "event_connection_settings", "audience_subscription_settings")
    return [getattr(part, name) for part in parts if part is not None for name in names if hasattr(part, name)]


def _in_words(error: ValidationError, where: str) -> Iterator[Fault]:
    """Pydantic's errors, one by one: which field, and what was expected."""
    for one in error.errors(include_url=False, include_context=False):
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in one["loc"]).removeprefix(".")
        expected = " ".join(one["msg"].removeprefix("Value error, ").split())
        problem = ": ".join(filter(None, (error.title, path, expected)))
        yield Fault("registration.invalid", problem, f"change it; {where} made it")


def folder_of(partner: Partner) -> Path:
    """Where the partner's code is."""
    return Path(inspect.getfile(type(partner))).resolve().parent
