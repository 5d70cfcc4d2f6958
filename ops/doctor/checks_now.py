"""The stage's present troubles, in words, with what to do about each. Pure.

A delay that the partner, a customer or an operator's pause causes is a warning, because the stage does what it should.
A part of the stage that does not work is an error.
"""

from collections.abc import Iterable, Mapping

from ops.console.findings import Finding, Severity
from ops.console.moments import ago, ahead, as_utc
from ops.doctor.ages import age_s
from ops.doctor.look_now import LATELY_S, Now
from ops.operate.pause import held_by
from ops.operate.suspensions import Suspended
from worker_fn.limits.adaptive import PUSHED_BACK
from worker_fn.limits.breaker import Opened, why_open
from worker_fn.limits.flow import Flow
from worker_fn.maintenance.unpark import SWEEP_EVERY_MS

TICKS_MISSED_MS = SWEEP_EVERY_MS + 300_000
"""If no tick swept the parking queue within this time, ticks are missing."""
FIRST_TICK_MS = 300_000
OLD_S = 900.0
"""A message that has waited for this long waits for a reason."""
LATELY_MS = 300_000
"""An older push-back says nothing about now: nobody has called the partner since."""
MOST_NAMED = 5
"""Accounts that are named one by one."""


def hurts(now: Now, *, stage: str, name: str, env: Mapping[str, str]) -> Iterable[Finding]:
    """The stage's troubles. `name` is the stack's, `env` the worker's."""
    yield from _ticks(now, name)
    yield from _failures(now, name)
    yield from _partner(now, stage)
    yield from _accounts(now)
    yield from _suspended(now, stage)
    yield from _age(now, env, stage)


def paused(now: Now | None, *, stage: str, is_enabled: bool) -> Iterable[Finding]:
    """Why the mapping takes nothing from the queue; or that it takes messages despite an operator's pause."""
    pause = None if now is None else now.pause
    if now is not None and pause is not None:
        runs = " Its mapping is enabled: the worker sends nothing all the same." if is_enabled else ""
        yield _warning(
            "mapping.paused",
            f"The intake is {pause.said(now.now_ms)} ({pause.by}).{runs} Messages wait in the queue.",
            f"spillway resume --stage {stage}, once the reason is gone",
        )
    elif not is_enabled and now is not None:
        why, what = held_by(now.flow, now.now_ms)
        yield _warning("mapping.paused", f"The intake is paused: {why}. Messages wait in the queue.", what)
    elif not is_enabled:
        why = "The intake is paused; why is not known here."
        yield _warning("mapping.paused", why, "See that the state table can be read, then ask again")


def _ticks(now: Now, name: str) -> Iterable[Finding]:
    log = _log(name, "worker", "30m")
    since_ms = None if now.swept_ms is None else now.now_ms - now.swept_ms
    if since_ms is not None and since_ms > TICKS_MISSED_MS:
        yield Finding(
            "tick.not-running",
            f"No tick has done its work for {ago(now.swept_ms or 0, now.now_ms).removesuffix(' ago')}: what is paused "
            "or parked stays so.",
            log,
        )
    elif not now.ticked and now.changed_ms is not None and now.now_ms - now.changed_ms > FIRST_TICK_MS:
        yield Finding(
            "tick.not-running", "No tick has run since the deploy: what is paused or parked would stay so.", log
        )


def _failures(now: Now, name: str) -> Iterable[Finding]:
    for function, count in now.errors.items():
        if count:
            yield Finding(
                f"{function}.failing",
                f"{count:,} invocations of {name}-{function} failed in the last {LATELY_S // 60} minutes.",
                _log(name, function, "15m")
                + ("; what is malformed counts, as spillway certify sends some" if function == "ingest" else ""),
                Severity.ERROR if function == "worker" else Severity.WARNING,
            )
    if now.url_errors:
        yield _warning(
            "url.failing",
            f"{now.url_errors:,} calls of the URL were answered with 5xx in the last {LATELY_S // 60} minutes: "
            "mParticle repeats them a limited number of times.",
            f"{_log(name, 'ingest', '15m')}; docs/http.md says what a token has to be",
        )


def _partner(now: Now, stage: str) -> Iterable[Finding]:
    flow = now.flow
    if flow is None:
        return
    whose = f"Nothing: spillway status --stage {stage} says who set it and why; spillway"
    if flow.cap.per_second is not None and not flow.cap.is_over(now.now_ms):
        yield _warning(
            "partner.limited-by-hand",
            f"An operator limits all calls to {flow.cap.per_second:g} a second; it ends"
            f" {ahead(flow.cap.until_ms, now.now_ms)}.",
            f"{whose} limit clear --stage {stage} ends it now",
        )
    opened = why_open(flow.breaker, now_ms=now.now_ms)
    if opened is Opened.BY_HAND:
        yield _warning(
            "partner.stopped-by-hand",
            "An operator opened the breaker: nobody calls the partner; it ends"
            f" {ahead(flow.breaker.by_hand_until_ms, now.now_ms)}, with a probe.",
            f"{whose} breaker close --stage {stage} ends it now",
        )
    elif flow.breaker.opened_ms is not None:
        failed = f", {flow.breaker.failed_probes} probes failed since" if flow.breaker.failed_probes else ""
        since = f"since {as_utc(flow.breaker.opened_ms)} UTC ({ago(flow.breaker.opened_ms, now.now_ms)})"
        why = f"The partner is taken for down {since}{failed}"
        if opened is Opened.OVER:
            why = f"The breaker that an operator opened is over its time; it is open {since}"
        yield _warning(
            "partner.down",
            f"{why}. Nobody calls it, messages wait.",
            "Ask the partner. One message a minute tries it; nothing has to be done here when it is back",
        )
    if flow.cool_until_ms > now.now_ms:
        yield _warning(
            "partner.cool-down",
            f"The partner asked for a pause (Retry-After): it ends {ahead(flow.cool_until_ms, now.now_ms)}, nobody "
            "calls until then.",
            "Nothing, if it passes. If it comes again and again: ask the partner for its rate, and declare that",
        )
    if is_pushed_back(flow, now.now_ms):
        yield _warning(
            "partner.pushes-back",
            f"The partner answered with 429, or not in time: the limit was taken down to {flow.limit.per_second:.3g} "
            f"calls a second, {ago(flow.limit.since_ms, now.now_ms)}.",
            f"Nothing, if the backlog shrinks: the limit finds what the partner takes. spillway pause --stage {stage} "
            "stops all calls",
        )


def is_pushed_back(flow: Flow, now_ms: int) -> bool:
    """Whether the limit was stepped down a moment ago, and rests there."""
    limit = flow.limit
    was_asked = limit.why == PUSHED_BACK or limit.pushed_back > 0 or limit.rest_until_ms > now_ms
    return limit.per_second is not None and was_asked and now_ms - limit.since_ms < LATELY_MS


def _accounts(now: Now) -> Iterable[Finding]:
    limited = sorted(
        key.partition("#")[0]
        for key, flow in now.account_flows.items()
        if flow.cool_until_ms > now.now_ms or is_pushed_back(flow, now.now_ms)
    )
    if limited:
        accounts = list(dict.fromkeys(limited))
        yield _warning(
            "accounts.pushed-back",
            f"The partner holds back {_counted(len(accounts), 'account')}: {_named(accounts)}. Their messages wait.",
            "Nothing, if it passes: each account's messages come back at the rate that it may have",
        )


def _suspended(now: Now, stage: str) -> Iterable[Finding]:
    for one in now.suspended[:MOST_NAMED]:
        yield _warning("account.suspended", *_of_account(one, now, stage))
    more = len(now.suspended) - MOST_NAMED
    if more > 0:
        yield _warning(
            "account.suspended",
            f"Credentials of {_counted(more, 'more account')} are refused.",
            f"spillway suspensions --stage {stage} lists them all",
        )


def _of_account(one: Suspended, now: Now, stage: str) -> tuple[str, str]:
    since = f"since {as_utc(one.since_ms)} UTC ({ago(one.since_ms, now.now_ms)})"
    if one.gives_up_at_ms is not None:
        when = "now" if one.gives_up_at_ms <= now.now_ms else ahead(one.gives_up_at_ms, now.now_ms)
        return (
            f"Account {one.account_id}: old credentials are refused (HTTP {one.status}) {since}, newer ones are taken. "
            f"What carries the old ones is dead-lettered, {when}.",
            "Nothing, if the customer changed its key. If the old one is to work, have the partner take it before then",
        )
    many = f"{one.credentials} of its credentials are" if one.credentials > 1 else "its credentials are"
    return (
        f"Account {one.account_id}: {many} refused (HTTP {one.status}) {since}. What carries them is parked.",
        "Have the customer renew them; a probe finds out within minutes, or: "
        f"spillway suspensions clear {one.account_id} --wait --stage {stage}",
    )


def _age(now: Now, env: Mapping[str, str], stage: str) -> Iterable[Finding]:
    if now.oldest_s is None or now.oldest_s < OLD_S:
        return
    max_age_s = age_s(env, "MAX_AGE_S")
    is_late = now.oldest_s > max_age_s / 2
    waited = ago(0, round(now.oldest_s * 1_000)).removesuffix(" ago")
    yield Finding(
        "queue.old",
        f"The oldest message has waited for {waited}; after {max_age_s / 3_600:g} h it is dead-lettered as too old.",
        "See what else is found here: a partner that is down or slow, or a pause. "
        f"MAX_AGE_S=... make deploy STAGE={stage} has messages wait longer",
        Severity.ERROR if is_late else Severity.WARNING,
    )


def _log(name: str, function: str, since: str) -> str:
    return f"aws logs tail /aws/lambda/{name}-{function} --since {since} (AWS CLI 2) says why"


def _warning(name: str, message: str, mend: str) -> Finding:
    return Finding(name, message, mend, Severity.WARNING)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _named(accounts: list[str]) -> str:
    more = len(accounts) - MOST_NAMED
    return ", ".join(accounts[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
