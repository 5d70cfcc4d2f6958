"""The faults of an account and a stack, in words, with the command that mends each. Pure.

Numbers without a source here are serverless.yml's and infra/queues.yml's own.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ingest_fn.subscription import ALLOWED_S, RESERVE_S
from ops.console.findings import Finding, Severity
from ops.doctor import checks_now
from ops.doctor.ages import AGES, age_s
from ops.doctor.look import ALIAS, FUNCTION_NAMES, FUNCTION_URL, Account, Facts, Function
from shared.errors import InvalidSettings
from shared.queue import SEND_BUDGET_S
from worker_fn.settings import LONGEST_AGE_S, VISIBILITY_MARGIN_S, Settings

UNRESERVED = 100
"""Executions that Lambda keeps for functions without a reservation: an account can reserve its limit less these."""
WISHED_BY_MPARTICLE = 1_000
"""Concurrent executions that mParticle's guide suggests for an integration."""
LONGEST_RETENTION_S = 1_209_600
"""SQS quota: 14 days."""
TIMEOUTS_A_VISIBILITY = 6
"""Lambda asks for a visibility timeout of six times the function's timeout, and the batching window on top."""
TAKES_FACTS = frozenset({None, "TRACE", "DEBUG", "INFO"})
"""The log levels with which Lambda's JSON format keeps lines that name none."""
QUOTA = "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384"


@dataclass(frozen=True, slots=True)
class Plan:
    """The deploy, past or to come, as its environment and the zips on disk describe it.

    `accounts` are mParticle's; `zips` are the zips' hashes as Lambda shows them (base64 of SHA-256), by function;
    `built_for` their runtime and architecture, None for zips of this machine.
    """

    accounts: frozenset[str]
    max_concurrency: int
    ingest_reserved: int = 0
    zips: Mapping[str, str] | None = None
    built_for: tuple[str, str] | None = ("python3.13", "arm64")


def before(account: Account | None, plan: Plan, *, region: str) -> Iterable[Finding]:
    """The checks before a deploy: whether the account can carry it."""
    if account is None:
        return
    needed = plan.ingest_reserved + plan.max_concurrency + UNRESERVED
    if plan.ingest_reserved > max(0, account.concurrency - UNRESERVED):
        yield Finding(
            "account.reservation-impossible",
            f"{plan.ingest_reserved} executions are to be reserved for ingest, and of the account's "
            f"{account.concurrency} in {region} {UNRESERVED} must stay unreserved: the deploy would fail.",
            f"{_quota(needed, region)}, or deploy without INGEST_RESERVED_CONCURRENCY",
        )
    elif needed > account.concurrency:
        yield Finding(
            "account.concurrency-too-low",
            f"The account may run {account.concurrency} executions at once in {region}. Ingest's reservation "
            f"({plan.ingest_reserved}), the worker's MaximumConcurrency ({plan.max_concurrency}) and {UNRESERVED} for "
            "ingest's own traffic need more: in a spike mParticle would be throttled.",
            f"{_quota(max(WISHED_BY_MPARTICLE, needed), region)}, or deploy with a lower MAX_CONCURRENCY",
        )
    elif account.concurrency < WISHED_BY_MPARTICLE:
        yield Finding(
            "account.concurrency-below-mparticle",
            f"The account may run {account.concurrency} executions at once in {region}; mParticle suggests "
            f"{WISHED_BY_MPARTICLE:,}.",
            _quota(WISHED_BY_MPARTICLE, region),
            Severity.WARNING,
        )


def after(facts: Facts, plan: Plan) -> Iterable[Finding]:
    """The checks of a deployed stack: its parts, and its troubles now."""
    worker = facts.functions.get("worker")
    if facts.now is not None:
        env = {} if worker is None else worker.env
        yield from checks_now.hurts(facts.now, stage=facts.stage, name=facts.name, env=env)
    deploy = f"make deploy STAGE={facts.stage}"
    if facts.status is not None and not facts.status.endswith("_COMPLETE"):
        yield Finding("stack.busy", f"The stack is {facts.status}.", "Wait until it is done, then ask again.")
    elif facts.status is not None and "ROLLBACK" in facts.status:
        yield Finding(
            "stack.rolled-back",
            f"The last deploy failed and was undone ({facts.status}).",
            f"{deploy}, and read its end",
        )
    for name in FUNCTION_NAMES:
        if name not in facts.functions:
            yield Finding(f"{name}.missing", f"The function {name} is not there, or may not be read.", deploy)
    yield from _aliases(facts, deploy)
    yield from _invokers(facts, plan, deploy)
    yield from _code(facts, plan, deploy)
    yield from _mapping(facts, plan, deploy)
    yield from _ingest_time(facts, deploy)
    yield from _queues(facts, deploy)
    yield from _table_and_tick(facts, deploy)
    yield from _watch(facts, deploy)
    yield from denied(facts.denied)


def denied(operations: Iterable[tuple[str, str]]) -> Iterable[Finding]:
    """The parts that could not be read."""
    for operation, why in operations:
        is_denied = "Denied" in why or "Unauthorized" in why
        yield Finding(
            "look.denied",
            f"{operation} was not answered ({why}): what it would have shown was not checked.",
            f"Allow {operation} to whoever runs the doctor"
            if is_denied
            else "See that AWS can be reached, then ask again",
            Severity.WARNING,
        )


def _quota(value: int, region: str) -> str:
    return f"{QUOTA} --desired-value {value} --region {region}"


def _aliases(facts: Facts, deploy: str) -> Iterable[Finding]:
    for name, one in facts.functions.items():
        if one.live is None:
            yield Finding(f"{name}.alias-missing", f"{one.name} has no alias {ALIAS}: nothing of it is live.", deploy)
        elif one.live == "$LATEST":
            yield Finding(
                f"{name}.alias-unpublished",
                f"The alias {ALIAS} of {one.name} serves $LATEST: what is uploaded goes live at once.",
                deploy,
            )
        elif one.newest is not None and one.newest != one.live:
            yield Finding(
                f"{name}.alias-behind",
                f"The alias {ALIAS} of {one.name} serves version {one.live}; version {one.newest} was deployed since.",
                f"spillway promote --stage {facts.stage}, if it was held or rolled back on purpose: nothing",
                Severity.WARNING,
            )


def _invokers(facts: Facts, plan: Plan, deploy: str) -> Iterable[Finding]:
    ingest = facts.functions.get("ingest")
    if ingest is None or ingest.live is None or ("lambda:GetPolicy" in {operation for operation, _ in facts.denied}):
        return
    for account in sorted(plan.accounts - ingest.invokers):
        yield Finding(
            "invokers.missing",
            f"mParticle's account {account} may not invoke the alias {ALIAS} of {ingest.name}.",
            deploy,
        )
    expected = plan.accounts | ({FUNCTION_URL} if ingest.env.get("TOKEN_SOURCE") else set())
    for principal in sorted(ingest.invokers - expected):
        yield Finding(
            "invokers.stranger",
            f"{'Everybody' if principal == '*' else principal} may invoke the alias {ALIAS} of {ingest.name}, and is "
            "none of mParticle's accounts that this stage is deployed for.",
            f"aws lambda get-policy --function-name {ingest.name} --qualifier {ALIAS} shows the statement id; "
            f"aws lambda remove-permission --function-name {ingest.name} --qualifier {ALIAS} --statement-id ID",
        )


def _code(facts: Facts, plan: Plan, deploy: str) -> Iterable[Finding]:
    for name, one in facts.functions.items():
        if plan.built_for is not None and (one.runtime, one.architecture) != plan.built_for:
            yield Finding(
                f"{name}.platform",
                f"{one.name} runs on {one.runtime}, {one.architecture}; its zip is for {' '.join(plan.built_for)} "
                "and its libraries would not load.",
                f"Set runtime and architecture in serverless.yml as infra/build.py has them, then {deploy}",
            )
        if plan.zips is not None and name in plan.zips and one.code_sha256 and one.code_sha256 != plan.zips[name]:
            yield Finding(
                f"{name}.code-differs",
                f"{one.name} does not run the code that is built here.",
                f"{deploy}, or check out the commit that is live (spillway versions --stage {facts.stage})",
                Severity.WARNING,
            )


def _mapping(facts: Facts, plan: Plan, deploy: str) -> Iterable[Finding]:
    mapping, worker, queue = facts.mapping, facts.functions.get("worker"), facts.queues.get("messages", {})
    if mapping is None:
        yield Finding("mapping.missing", "Nothing takes messages from the queue: the mapping is not there.", deploy)
        return
    if not mapping.function_arn.endswith(f":{ALIAS}"):
        yield Finding(
            "mapping.not-on-alias",
            f"The mapping feeds {mapping.function_arn.rpartition(':')[2]} and not the alias {ALIAS}: a held deploy "
            "would change the live worker.",
            deploy,
        )
    is_enabled = mapping.state not in {"Disabled", "Disabling"}
    yield from checks_now.paused(facts.now, stage=facts.stage, is_enabled=is_enabled)
    if mapping.concurrency is None:
        yield Finding(
            "mapping.unbounded",
            "The mapping has no MaximumConcurrency: a backlog would take all of the account's executions.",
            deploy,
        )
    elif mapping.concurrency > plan.max_concurrency:
        yield Finding(
            "mapping.concurrency-high",
            f"The mapping may run {mapping.concurrency} workers, the deployment says {plan.max_concurrency}.",
            deploy,
        )
    if not mapping.partial_responses:
        yield Finding(
            "mapping.whole-batches",
            "The mapping ignores partial responses: one message that waits brings its whole batch back, delivered "
            "messages too.",
            deploy,
        )
    if worker is None:
        return
    yield from _times(worker, deploy)
    needed_s = TIMEOUTS_A_VISIBILITY * worker.timeout_s + mapping.window_s
    visibility_s = int(queue.get("VisibilityTimeout", needed_s))
    if visibility_s < needed_s:
        yield Finding(
            "queue.visibility-short",
            f"The queue's visibility timeout is {visibility_s} s; a worker of {worker.timeout_s} s needs {needed_s} s, "
            "or a message comes back while it is still being worked on.",
            f"visibilityS: {needed_s} in serverless.yml, then {deploy}",
        )
    if worker.reserved is not None and worker.reserved < (mapping.concurrency or plan.max_concurrency):
        yield Finding(
            "worker.reservation-low",
            f"The worker may run {worker.reserved} times at once and the mapping starts up to "
            f"{mapping.concurrency or plan.max_concurrency}: the others are throttled, and each throttled "
            "receive counts.",
            f"aws lambda delete-function-concurrency --function-name {worker.name}",
        )


def _times(worker: Function, deploy: str) -> Iterable[Finding]:
    """Whether the worker can start with its settings and its time-out."""
    known_s = worker.env.get("WORKER_TIMEOUT_S")
    if known_s is not None and known_s != str(worker.timeout_s):
        yield Finding(
            "worker.timeout-changed",
            f"{worker.name} has {worker.timeout_s} s, and its settings were chosen for {known_s} s.",
            f"workerTimeoutS: {worker.timeout_s} in serverless.yml, then {deploy}",
        )
    if not worker.env:  # which the caller may not read
        return
    long = {name for name in AGES if age_s(worker.env, name) > LONGEST_AGE_S}  # `_ages` judges these
    told = {name: value for name, value in worker.env.items() if name not in long}
    try:
        Settings.from_env({**told, "WORKER_TIMEOUT_S": str(worker.timeout_s)})
    except InvalidSettings as error:
        yield Finding("worker.settings", f"The worker refuses to start: {error}.", f"Mend it, then {deploy}")


def _ingest_time(facts: Facts, deploy: str) -> Iterable[Finding]:
    """Whether the partner has the promised time for an audience subscription."""
    ingest = facts.functions.get("ingest")
    if ingest is not None and ingest.timeout_s < ALLOWED_S + RESERVE_S:
        yield Finding(
            "ingest.timeout-short",
            f"{ingest.name} has {ingest.timeout_s} s: of an audience subscription's {ALLOWED_S:g} s the partner has "
            f"{max(0.0, ingest.timeout_s - RESERVE_S):g}, and trying to reach the queue may take "
            f"{SEND_BUDGET_S:g} for each part of a request.",
            f"ingestTimeoutS: {ALLOWED_S + RESERVE_S:g} or more in serverless.yml, then {deploy}",
        )


def _queues(facts: Facts, deploy: str) -> Iterable[Finding]:
    for name, attributes in facts.queues.items():
        if not attributes:
            yield Finding(f"queue.{name}-missing", f"The queue {name} is not there, or may not be read.", deploy)
            continue
        if attributes.get("SqsManagedSseEnabled") != "true" and not attributes.get("KmsMasterKeyId"):
            yield Finding(
                f"queue.{name}-unencrypted", f"The queue {name} holds users' data and is not encrypted at rest.", deploy
            )
        retention_s = int(attributes.get("MessageRetentionPeriod", LONGEST_RETENTION_S))
        if retention_s < LONGEST_RETENTION_S:
            yield Finding(
                f"queue.{name}-retention-short",
                f"The queue {name} forgets messages after {retention_s / 86_400:.1f} days, SQS's longest is 14.",
                deploy,
            )
    yield from _parked(facts)
    yield from _ages(facts)
    queue, dlq = facts.queues.get("messages"), facts.queues.get("dlq")
    if queue and dlq:
        target = json.loads(queue.get("RedrivePolicy", "{}")).get("deadLetterTargetArn")
        if target != dlq.get("QueueArn"):
            yield Finding(
                "dlq.not-wired",
                "The queue's redrive policy does not name the dead-letter queue: a message that ends its worker each "
                "time would come back until it is forgotten.",
                deploy,
            )
        if count := int(dlq.get("ApproximateNumberOfMessages", 0)):
            yield Finding(
                "dlq.not-empty",
                f"{count:,} messages are in the dead-letter queue.",
                f"spillway dlq summary --stage {facts.stage} shows why and whose; docs/runbook.md, dead-letters, says "
                "what to do",
                Severity.WARNING,
            )


def _parked(facts: Facts) -> Iterable[Finding]:
    parking = facts.queues.get("parking") or {}
    counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    if parked := sum(int(parking.get(name, 0)) for name in counts):
        yield Finding(
            "parking.not-empty",
            f"About {parked:,} messages are parked: their credentials are refused, or their account has as many "
            "waiting as it may.",
            f"spillway suspensions --stage {facts.stage} shows whose credentials; the others come back by themselves",
            Severity.WARNING,
        )


def _ages(facts: Facts) -> Iterable[Finding]:
    """Check that a message reaches the end of its age before its queue deletes it."""
    worker, queue = facts.functions.get("worker"), facts.queues.get("messages") or {}
    retention_s = int(queue.get("MessageRetentionPeriod", LONGEST_RETENTION_S))
    for name in AGES:
        waits_s = age_s({} if worker is None else worker.env, name)
        if waits_s + VISIBILITY_MARGIN_S > retention_s:
            yield Finding(
                f"worker.{name.lower().replace('_', '-')}-too-long",
                f"{name} is {waits_s:.0f} s and the queue forgets after {retention_s} s: messages would vanish before "
                "they are dead-lettered.",
                f"{name}={max(60, retention_s - VISIBILITY_MARGIN_S)} make deploy STAGE={facts.stage}",
            )


def _table_and_tick(facts: Facts, deploy: str) -> Iterable[Finding]:
    if facts.table_status is None:
        yield Finding("table.missing", "The state table is not there, or may not be read.", deploy)
    elif not facts.table_has_ttl:
        yield Finding("table.no-ttl", "Nothing expires in the state table: it would grow for ever.", deploy)
    if facts.tick_state is None:
        yield Finding("tick.missing", "No rule ticks: an intake that was paused would stay paused.", deploy)
    elif facts.tick_state != "ENABLED":
        yield Finding(
            "tick.disabled",
            "The tick is switched off: an intake that was paused would stay paused.",
            f"aws events enable-rule --name {facts.name}-tick",
        )
    elif not any(arn.endswith(f":{ALIAS}") for arn in facts.tick_targets):
        yield Finding("tick.not-on-alias", f"The tick does not invoke the worker's alias {ALIAS}.", deploy)


def _watch(facts: Facts, deploy: str) -> Iterable[Finding]:
    for name, one in facts.functions.items():
        if one.log_level not in TAKES_FACTS:
            yield Finding(
                f"{name}.logs-dropped",
                f"Lambda drops what {one.name} writes below {one.log_level}: facts and metrics, too, which name no "
                "level and are taken for INFO. Alarms on them stay silent.",
                deploy,
            )
    for name, days in facts.retention_days.items():
        if days is None and name in facts.functions:
            yield Finding(f"{name}.logs-for-ever", f"The logs of {name} are kept for ever.", deploy, Severity.WARNING)
    alarms = facts.alarms
    if alarms is None:
        return
    if not alarms.count:
        yield Finding("alarms.missing", "There are no alarms.", deploy)
    elif not alarms.heard and alarms.unconfirmed:
        yield Finding(
            "alarms.unconfirmed",
            "The alarms' subscriptions wait for their confirmation: nobody is told.",
            "Follow the link in the mail that AWS sent",
        )
    elif not alarms.heard:
        yield Finding(
            "alarms.unheard",
            "Nobody has subscribed to the alarms: the first to notice an outage would be the customer.",
            f"ALARM_EMAIL=oncall@company.example in .env.{facts.stage}, then {deploy}",
        )
