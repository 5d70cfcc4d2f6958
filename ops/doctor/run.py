"""The doctor's run: read, judge, try the partner, print."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from infra.stage import ROOT
from ops.console import findings as found
from ops.console.findings import Finding, Severity
from ops.console.terminal import safe_json
from ops.doctor import checks, look
from ops.doctor.checks import Plan
from ops.doctor.partner import try_partner
from ops.operate import stack as stacks
from ops.partner.variables import known_variables, unread
from ops.releases.destination import destination
from partners import PartnerBroken, load_partner
from shared.errors import InvalidSettings
from shared.stored import without_stored

MAX_CONCURRENCY = 10


def run(
    stage: str, *, before: bool, settings: Mapping[str, str], env: Mapping[str, str], as_json: bool, console: Console
) -> int:
    """Examine a stage; gives the exit status. Raises StackUnavailable when AWS itself is out of reach."""
    try:
        findings = examine(stage, before=before, settings=settings, env=env, tell=None if as_json else console.print)
    except (BotoCoreError, ClientError) as error:
        raise stacks.StackUnavailable(f"AWS can not be asked ({type(error).__name__})") from None
    if as_json:
        console.file.write(safe_json(found.as_json(findings)) + "\n")
    else:
        what = "the account can carry it" if before else f"the stage {stage} is as it should be"
        found.show(findings, console, good=f"Nothing found: {what}.")
    return found.exit_status(findings)


def examine(
    stage: str,
    *,
    before: bool,
    settings: Mapping[str, str],
    env: Mapping[str, str],
    session: Any = None,
    try_it: Callable[..., Any] = try_partner,
    tell: Callable[[str], Any] | None = None,
) -> list[Finding]:
    """All findings; `tell` is called with the place to which the stage delivers.

    `env` is the deploy's; after it the deployed worker's own is used for the partner.
    """
    session = session or boto3.session.Session(region_name=stacks.region_of(env.get("POD") or stacks.DEFAULT_POD))
    if not session.region_name:
        raise InvalidSettings("AWS_REGION is not set, nor does the profile name a region: set AWS_REGION")
    plan = plan_of(env, zips(env.get("PKG_TARGET") or "aws"))
    seen = look.Look()
    if before:
        unasked = unread(env, known_variables(env))
        findings = unasked + list(checks.before(look.account(session, seen), plan, region=session.region_name))
        findings += checks.denied(seen.denied)
        return findings + _tried(env, settings, try_it, Severity.ERROR)
    stack = stacks.find_stack(stage, session)
    facts = look.stack(stack, stack.status, seen)
    findings = list(checks.before(facts.account, plan, region=facts.region))
    findings += checks.after(facts, plan)
    worker = facts.functions.get("worker")
    if worker is not None:
        if tell is not None:
            tell(f"{facts.name} delivers to {destination(worker.env)}")
        findings += _tried(worker.env, settings, try_it, Severity.WARNING)
    return findings


def _tried(
    env: Mapping[str, str], settings: Mapping[str, str], try_it: Callable[..., Any], unusable: Severity
) -> list[Finding]:
    """The findings of trying the partner. A partner that cannot be loaded here is not tried; other findings stand."""
    try:
        partner = load_partner(without_stored(env))
    except PartnerBroken as error:  # kind and place only: a text may quote a variable's value
        why = error.said.partition(": ")[0]
    except InvalidSettings as error:
        why = str(error)
    else:
        return list(try_it(partner, settings))
    return [
        Finding(
            "partner.not-loaded",
            f"The partner {env.get('PARTNER', '')} is not called, as it can not be loaded here: {why}.",
            "Ask from the checkout that is deployed: spillway versions names its commit"
            if unusable is Severity.WARNING
            else "Set PARTNER and its variables as for the deploy, or mend the partner",
            unusable,
        )
    ]


def plan_of(env: Mapping[str, str], built: Mapping[str, str] | None) -> Plan:
    """The deploy as its environment describes it. Raises InvalidSettings that names the bad variable."""
    local = env.get("PKG_TARGET") == "local"
    accounts = env.get("MPARTICLE_ACCOUNTS") or stacks.pod_named(env.get("POD") or stacks.DEFAULT_POD)["accounts"]
    return Plan(
        accounts=frozenset(one.strip() for one in accounts.split(",")),
        max_concurrency=_count(env, "MAX_CONCURRENCY", MAX_CONCURRENCY),
        ingest_reserved=_count(env, "INGEST_RESERVED_CONCURRENCY", 0),
        zips=built,
        built_for=None if local else ("python3.13", "arm64"),
    )


def zips(target: str, folder: Path = ROOT / "build") -> dict[str, str]:
    """The hashes of the zips that are built here, as Lambda shows a function's; without those that are not there."""
    built = {}
    for name in look.FUNCTION_NAMES:
        path = folder / target / f"{name}.zip"
        if path.is_file():
            built[name] = base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
    return built


def _count(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdecimal():
        raise InvalidSettings(f"{name} must be a whole number")
    return int(text)
