"""The worker's settings: read from the environment once, at the first invocation."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from shared.environment import credentials_of, endpoint_of, one_of
from shared.errors import InvalidSettings
from shared.sigv4 import Credentials
from shared.telemetry import LOG_EVENTS, WITH_IDS, facts_for

_ACCOUNT = re.compile(r"[0-9A-Za-z._-]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")

MOST_MEASURED = 20
"""Accounts with metrics of their own: CloudWatch takes $0.30 a month for each metric of each."""
VISIBILITY_MARGIN_S = 43_200
"""A message that is hidden when its age ends comes back within SQS's longest visibility timeout, 12 hours."""
LONGEST_AGE_S = 1_209_600 - VISIBILITY_MARGIN_S
"""A message must reach the end of its age before its queue forgets it, after 14 days as infra/queues.yml has it.
The doctor checks the deployed queues: a worker that asked SQS for this could not start while SQS is slow.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """`env` is kept for the partner, which reads its own variables."""

    queue_url: str
    dead_letter_url: str
    parking_url: str
    state_table: str
    stage: str
    max_in_flight: int
    """Connections of one Lambda environment; the partner sees at most so many times MaximumConcurrency."""
    attempts: int
    """Tries of one delivery within one invocation, the first included."""
    connect_timeout_s: float
    read_timeout_s: float
    settle_reserve_s: float
    """Time kept back at the end of an invocation to settle everything that was received."""
    max_concurrency: int
    """Lambda environments at most: MaximumConcurrency of the mapping, which the deployment repeats here."""
    max_age_s: float
    """How long a message may wait; then it is dead-lettered as too old."""
    erasure_max_age_s: float
    max_failed_attempts: int
    """How often the partner may fail on a message while it takes others: MAX_STRIKES."""
    fifo: bool
    memory_mib: int
    """The function's memory in MB, from Lambda's environment; 512 outside Lambda."""
    fingerprint_key: bytes = field(repr=False)
    """The key of credentials' fingerprints: the id of the stack, which neither the table nor its backups hold; without
    a stack, the URL of the queue.
    """
    worker_timeout_s: float
    """The function's time-out: the time of an invocation."""
    facts: Callable[..., None]
    """Writes facts to the log; LOG_EVENTS=off leaves out those of delivered messages."""
    tells_ids: bool
    """LOG_EVENTS=ids: also the ids of events, and every call."""
    measured_accounts: frozenset[str]
    """METRICS_ACCOUNTS: whose ends are metrics of their own, too."""
    dynamodb_endpoint: str
    region: str
    credentials: Callable[[], Credentials] = field(repr=False)
    visibility_s: float
    """The main queue's visibility timeout: how soon a message that nobody settled comes back."""
    env: Mapping[str, str] = field(repr=False)

    beginning_s: ClassVar[float] = 4.0
    """The time that an invocation needs before its first call: for setting its clock by the fleet's (3 s at most), and
    for reading suspensions and progress."""

    @property
    def call_timeout_s(self) -> float:
        """The most time that a call may take."""
        return self.connect_timeout_s + self.read_timeout_s

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Raises InvalidSettings that names the missing or bad variable."""
        env = os.environ if env is None else env
        region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "none"  # Lambda sets it
        settings = cls(
            queue_url=_url(env, "QUEUE_URL"),
            dead_letter_url=_url(env, "DLQ_URL"),
            parking_url=_url(env, "PARKING_QUEUE_URL"),
            state_table=_text(env, "STATE_TABLE"),
            stage=env.get("STAGE") or "none",
            max_in_flight=int(_number(env, "MAX_IN_FLIGHT", 10, 1, 1_000)),
            attempts=int(_number(env, "ATTEMPTS", 3, 1, 10)),
            connect_timeout_s=_number(env, "CONNECT_TIMEOUT_S", 3, 0.1, 60),
            read_timeout_s=_number(env, "READ_TIMEOUT_S", 10, 0.1, 300),
            settle_reserve_s=_number(env, "SETTLE_RESERVE_S", 8, 4, 60),
            max_concurrency=int(_number(env, "MAX_CONCURRENCY", 10, 2, 1_000)),
            max_age_s=_number(env, "MAX_AGE_S", 72 * 3_600, 60, LONGEST_AGE_S),
            erasure_max_age_s=_number(env, "ERASURE_MAX_AGE_S", 13 * 86_400, 60, LONGEST_AGE_S),
            max_failed_attempts=int(_number(env, "MAX_STRIKES", 50, 1, 10_000)),
            fifo=one_of(env, "QUEUE_TYPE", ("standard", "fifo")) == "fifo",
            memory_mib=int(_number(env, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 512, 1, 1_000_000)),
            fingerprint_key=(env.get("STACK_ID") or _url(env, "QUEUE_URL")).encode(),
            worker_timeout_s=_number(env, "WORKER_TIMEOUT_S", 60, 1, 900),
            visibility_s=_number(env, "VISIBILITY_S", 365, 1, 43_200),
            facts=facts_for(one_of(env, "LOG_EVENTS", LOG_EVENTS)),
            tells_ids=env.get("LOG_EVENTS") == WITH_IDS,
            measured_accounts=_accounts(env, "METRICS_ACCOUNTS"),
            dynamodb_endpoint=endpoint_of("dynamodb", env, region=region),
            region=region,
            credentials=credentials_of(env),
            env=env,
        )
        settings._check_times()
        return settings

    def _check_times(self) -> None:
        """Raises InvalidSettings if the time-out leaves no room for a whole call: then no call or probe would ever be
        made.
        """
        needed_s = self.beginning_s + self.call_timeout_s + self.settle_reserve_s
        if self.worker_timeout_s < needed_s:
            raise InvalidSettings(
                f"WORKER_TIMEOUT_S is {self.worker_timeout_s:g} and must be at least {needed_s:g}: a call may take "
                f"{self.call_timeout_s:g} s (CONNECT_TIMEOUT_S and READ_TIMEOUT_S), settling "
                f"{self.settle_reserve_s:g} s (SETTLE_RESERVE_S), and beginning {self.beginning_s:g} s"
            )
        if self.visibility_s < self.worker_timeout_s:
            raise InvalidSettings(
                f"VISIBILITY_S is {self.visibility_s:g} and must be at least WORKER_TIMEOUT_S, "
                f"{self.worker_timeout_s:g}: a message would come back while it is still being worked on"
            )


def _url(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not re.fullmatch(r"https?://[!-~]+", value):
        raise InvalidSettings(f"{name} must be the URL of an SQS queue")
    return value


def _text(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise InvalidSettings(f"{name} is missing")
    return value


def _accounts(env: Mapping[str, str], name: str) -> frozenset[str]:
    """Ids of accounts, separated by commas. Raises InvalidSettings for what is none, and for too many."""
    ids = frozenset(one.strip() for one in env.get(name, "").split(",") if one.strip())
    if not all(map(_ACCOUNT.fullmatch, ids)):
        raise InvalidSettings(f"{name} must be ids of accounts, separated by commas")
    if len(ids) > MOST_MEASURED:
        raise InvalidSettings(f"{name} names {len(ids)} accounts, and {MOST_MEASURED} may be measured by themselves")
    return ids


def _number(env: Mapping[str, str], name: str, default: float, lowest: float, highest: float) -> float:
    text = (env.get(name) or str(default)).strip()
    value = float(text) if _NUMBER.fullmatch(text) else -1.0
    if not lowest <= value <= highest or (isinstance(default, int) and lowest >= 1 and value != int(value)):
        raise InvalidSettings(f"{name} must be a number from {lowest:g} to {highest:g}")
    return value
