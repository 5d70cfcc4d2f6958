"""The worker's settings: read from the environment once, at the first invocation."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from shared.environment import credentials_of, endpoint_of, one_of
from shared.errors import InvalidSettings
from shared.sigv4 import Credentials
from shared.telemetry import LOG_EVENTS, WITH_IDS, facts_for
from worker_fn.batch.disposition import Budgets
from worker_fn.batch.time_budget import SETTLE_RESERVE_S

_ACCOUNT = re.compile(r"[0-9A-Za-z._-]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")

MOST_MEASURED = 20
"""The most accounts with metrics of their own: CloudWatch charges $0.30 a month for each metric of each account."""
VISIBILITY_MARGIN_S = 43_200
"""A message that is hidden when its age ends comes back within SQS's longest visibility timeout, 12 hours."""
LONGEST_AGE_S = 1_209_600 - VISIBILITY_MARGIN_S
"""A message must reach the end of its age before its queue deletes it, after 14 days as infra/queues.yml has it. The
doctor checks the deployed queues: a worker that asked SQS for this could not start while SQS is slow.
"""
BUDGETS = Budgets()
"""What a message has where nobody set it."""

Env = Mapping[str, str]


def _read(by: Callable[[Env], Any], *, shown: bool = True) -> Any:
    """A field, with the function that reads it from the environment."""
    return field(repr=shown, metadata={"by": by})


def _url(name: str) -> Any:
    def read(env: Env) -> str:
        if not re.fullmatch(r"https?://[!-~]+", env.get(name, "")):
            raise InvalidSettings(f"{name} must be the URL of an SQS queue")
        return env[name]

    return _read(read)


def _number(name: str, default: float, lowest: float, highest: float) -> Any:
    """A number; it must be whole if the lowest allowed value is at least 1."""

    def read(env: Env) -> float:
        text, is_whole = (env.get(name) or str(default)).strip(), lowest >= 1
        value = float(text) if _NUMBER.fullmatch(text) else -1.0
        if not lowest <= value <= highest or (is_whole and value % 1):
            raise InvalidSettings(f"{name} must be a number from {lowest:g} to {highest:g}")
        return int(value) if is_whole else value

    return _read(read)


def _table(env: Env) -> str:
    if not env.get("STATE_TABLE"):
        raise InvalidSettings("STATE_TABLE is missing")
    return env["STATE_TABLE"]


def _region(env: Env) -> str:
    return env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "none"  # Lambda sets it


def _measured(env: Env) -> frozenset[str]:
    ids = frozenset(one.strip() for one in env.get("METRICS_ACCOUNTS", "").split(",") if one.strip())
    if not all(map(_ACCOUNT.fullmatch, ids)) or len(ids) > MOST_MEASURED:
        raise InvalidSettings(f"METRICS_ACCOUNTS must be at most {MOST_MEASURED} ids of accounts, separated by commas")
    return ids


@dataclass(frozen=True, slots=True)
class Settings:
    queue_url: str = _url("QUEUE_URL")
    dead_letter_url: str = _url("DLQ_URL")
    parking_url: str = _url("PARKING_QUEUE_URL")
    state_table: str = _read(_table)
    stage: str = _read(lambda env: env.get("STAGE") or "none")
    max_in_flight: int = _number("MAX_IN_FLIGHT", 10, 1, 1_000)
    """Connections of one Lambda environment; the partner sees at most this many times MaximumConcurrency."""
    attempts: int = _number("ATTEMPTS", 3, 1, 10)
    """Tries of one delivery within one invocation, the first included."""
    connect_timeout_s: float = _number("CONNECT_TIMEOUT_S", 3, 0.1, 60)
    read_timeout_s: float = _number("READ_TIMEOUT_S", 10, 0.1, 300)
    settle_reserve_s: float = _number("SETTLE_RESERVE_S", SETTLE_RESERVE_S, 4, 60)
    """Time kept back at the end of an invocation to settle everything that was received."""
    max_concurrency: int = _number("MAX_CONCURRENCY", 10, 2, 1_000)
    """The most Lambda environments: MaximumConcurrency of the mapping, which the deployment repeats here."""
    max_age_s: float = _number("MAX_AGE_S", BUDGETS.max_age_s, 60, LONGEST_AGE_S)
    """How long a message may wait; then it is dead-lettered as too old."""
    erasure_max_age_s: float = _number("ERASURE_MAX_AGE_S", BUDGETS.erasure_age_s, 60, LONGEST_AGE_S)
    max_failed_attempts: int = _number("MAX_STRIKES", BUDGETS.max_failed_attempts, 1, 10_000)
    """How often the partner may fail on a message while it takes others."""
    fifo: bool = _read(lambda env: one_of(env, "QUEUE_TYPE", ("standard", "fifo")) == "fifo")
    memory_mib: int = _number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 512, 1, 1_000_000)
    fingerprint_key: bytes = _read(lambda env: (env.get("STACK_ID") or env["QUEUE_URL"]).encode(), shown=False)
    """The key of credentials' fingerprints: the id of the stack, which neither the table nor its backups hold; without
    a stack, the URL of the queue.
    """
    worker_timeout_s: float = _number("WORKER_TIMEOUT_S", 60, 1, 900)
    """The function's time-out: the time of an invocation."""
    visibility_s: int = _number("VISIBILITY_S", 365, 1, 43_200)
    """The main queue's visibility timeout: how soon a message that nobody settled comes back."""
    facts: Callable[..., None] = _read(lambda env: facts_for(one_of(env, "LOG_EVENTS", LOG_EVENTS)))  # noqa: RUF009 - a field
    """Writes facts to the log; LOG_EVENTS=off leaves out those of delivered messages."""
    tells_ids: bool = _read(lambda env: env.get("LOG_EVENTS") == WITH_IDS)
    """LOG_EVENTS=ids: the log also has the ids of events, and every call."""
    measured_accounts: frozenset[str] = _read(_measured)
    """METRICS_ACCOUNTS: accounts that have metrics of their own, too."""
    region: str = _read(_region)
    dynamodb_endpoint: str = _read(lambda env: endpoint_of("dynamodb", env, region=_region(env)))
    credentials: Callable[[], Credentials] = _read(credentials_of, shown=False)  # noqa: RUF009 - a field
    env: Env = _read(lambda env: env, shown=False)  # noqa: RUF009 - a field
    """The whole environment, from which the partner reads its own variables."""

    beginning_s: ClassVar[float] = 4.0
    """The time that an invocation needs before its first call: for setting its clock by the fleet's (3 s at most), and
    for reading suspensions and progress."""

    @property
    def call_timeout_s(self) -> float:
        """The most time that a call may take."""
        return self.connect_timeout_s + self.read_timeout_s

    @classmethod
    def from_env(cls, env: Env | None = None) -> Self:
        """Read the settings. Raises InvalidSettings, which names the missing or bad variable."""
        known = os.environ if env is None else env
        return cls(**{one.name: one.metadata["by"](known) for one in fields(cls)})

    def __post_init__(self) -> None:
        """Refuse a time-out that leaves no room for a whole call: no call or probe would ever be made."""
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
