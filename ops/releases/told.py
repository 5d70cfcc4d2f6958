"""Whether the functions could work with the settings of a deploy: the checks behind before_deploy's `settings`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ingest_fn.settings
import worker_fn.settings
from ops.console import findings
from ops.console.findings import Finding
from ops.partner import declaration
from ops.partner.requests import canaries, cases
from ops.partner.variables import known_variables, unread
from partners import Delivery, Partner, load_partner
from shared.errors import InvalidRequest, InvalidSettings, SpillwayError, raised_at
from shared.firehose import AudienceSubscriptionRequest, parse_request, rules_unenforced
from shared.stored import references, without_stored
from testkit import rules

SETTINGS_OF: Mapping[str, Callable[[Mapping[str, str]], object]] = {
    "ingest": ingest_fn.settings.Settings.from_env,
    "worker": worker_fn.settings.Settings.from_env,
}
MADE = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "-", "AWS_SECRET_ACCESS_KEY": "-"}
"""Variables that Lambda sets."""
REFERRED = "https://made-by-the-deploy.example/0/name"
"""In place of the template's references, such as a queue's URL or the table's name, whose values do not exist yet."""


def check(env: Mapping[str, str], told: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """The faults of the variables that the functions will get; `env` is the shell's."""
    found: list[Finding] = []
    for function, variables in told.items():
        found += _start(function, {name: _text(value) for name, value in variables.items()})
    found += unread(env, known_variables(env))
    return found + list(partner_faults(env)) if findings.passed(found) else found


def _start(function: str, env: Mapping[str, str]) -> Iterator[Finding]:
    """The error that a function raises at its first invocation."""
    try:
        SETTINGS_OF[function]({**MADE, **env})
        references(env)
    except InvalidSettings as error:
        yield Finding("settings.invalid", f"{function} cannot start: {error}.", "Set it right, or unset it")


def _text(value: Any) -> str:
    return REFERRED if isinstance(value, dict) else "" if value is None else str(value)


def partner_faults(env: Mapping[str, str]) -> Iterator[Finding]:
    """The faults that `spillway partner check` finds in the calls of this configuration, one request of each kind."""
    try:
        partner = load_partner(without_stored(env))
    except SpillwayError as error:
        yield Finding("settings.invalid", f"{error}.", "Set it right, or unset it")
        return
    seen = {(one.id, one.problem, one.mend): None for one in _call_faults(partner)}
    for identity, problem, mend in seen:
        yield Finding(identity, f"{partner.name}: {problem}.", f"{mend[:1].upper()}{mend[1:]}")


def _call_faults(partner: Partner) -> Iterator[rules.Fault]:
    try:
        with rules_unenforced():
            declared = partner.registration()
    except Exception:  # the registration's own check says what is wrong with it
        return
    secrets = canaries(declared)
    for case in cases(declared, {}, count=1, first_seed=0):
        if case.odd:
            continue
        try:
            request = parse_request(case.message().payload, only=partner.reads)
            if isinstance(request, AudienceSubscriptionRequest):
                continue
            calls = [one for one in partner.deliveries(request) if isinstance(one, Delivery)]
        except InvalidRequest:
            continue  # a made-up request may lack what this partner needs; `partner check` has its samples
        except Exception as error:  # a partner's code may raise anything
            where = f"{type(error).__name__} in {raised_at(error, declaration.folder_of(partner))}"
            yield rules.Fault("mapping.raises", f"the mapping raises {where}", "run spillway partner check")
            continue
        for one in calls:
            yield from rules.faults(one, secrets)
