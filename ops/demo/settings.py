"""A demo's settings: the few numbers that a user gives, and those that follow from them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import floor
from typing import Any

from shared.errors import InvalidSettings

SPIKE_OVER_CAPACITY = 2.5
"""The spike's rate as a multiple of what the direct design can carry."""
MACHINE_RPS = 150.0
"""The embedded AWS on two cores does not carry more invocations a second, whatever the design."""
CALM_OF_CAPACITY = 0.4
PARTNER_SHARE = 0.9
"""How much of the partner's rate Spillway is sized for; the rest absorbs calls that come back sooner than usual."""
WORKERS = 4
MIN_LIMIT = 6
MAX_LIMIT = 60
"""The embedded AWS runs 64 invocations at a time: above that it would queue what it should throttle. Each execution is
a process of about 60 MB."""
MAX_REQUEST_S = 10.0
OF_SCENARIOS = ("outage_s", "account_rate", "retry_after_s", "spike_rps_at_most", "calls_at_once_at_least")
"""Settings that the report shows where a scenario has a use for them."""


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """The numbers of `make demo`. Both designs get the same limit, the same partner and the same requests."""

    requests: int = 1500
    limit: int = 40
    """Executions that may run at once: all of them for the direct function, ingest and worker together for Spillway."""
    events: int = 2
    """In each request; both designs send one call for each event."""
    partner_latency_ms: int = 400
    partner_rate: float = 120
    """Calls a second before the partner answers 429."""
    partner_failure_rate: float = 0
    seed: int = 1
    outage_s: float = 25
    """How long the partner is down, in the outage."""
    account_rate: float = 30
    """Calls a second that the partner takes of each customer, in the noisy demo."""
    retry_after_s: int = 3
    """The Retry-After of the partner's 429, in the throttled demo."""
    spike_rps_at_most: float = MACHINE_RPS
    calls_at_once_at_least: int = 1

    def __post_init__(self) -> None:
        wrong = [
            (not 1 <= self.requests <= 50_000, "REQUESTS must be between 1 and 50000"),
            (not MIN_LIMIT <= self.limit <= MAX_LIMIT, f"LIMIT must be between {MIN_LIMIT} and {MAX_LIMIT} executions"),
            (not 1 <= self.events <= 100, "EVENTS must be between 1 and 100 for each request"),
            (not 1 <= self.partner_latency_ms <= 5000, "PARTNER_LATENCY_MS must be between 1 and 5000"),
            (
                self.events * self.partner_latency_ms > MAX_REQUEST_S * 1000,
                f"EVENTS x PARTNER_LATENCY_MS must stay within {MAX_REQUEST_S:.0f} s, half of a function's time limit",
            ),
            (not 1 <= self.partner_rate <= 2000, "PARTNER_RATE must be between 1 and 2000 calls a second"),
            (not 1 <= self.outage_s <= 600, "OUTAGE_S must be between 1 and 600 seconds"),
            (not 0 <= self.seed <= 1000, "SEED must be between 0 and 1000"),
            (not 0 <= self.partner_failure_rate <= 0.5, "PARTNER_FAILURE_RATE must be between 0 and 0.5"),
        ]
        for is_wrong, text in wrong:
            if is_wrong:
                raise InvalidSettings(text)

    @property
    def direct_rps(self) -> float:
        """The rate that the direct design can carry: executions over the time that each one waits for the partner."""
        return self.limit / (self.events * self.partner_latency_ms / 1000)

    @property
    def spike_rps(self) -> float:
        return min(self.direct_rps * SPIKE_OVER_CAPACITY, self.spike_rps_at_most)

    @property
    def calm_rps(self) -> float:
        return min(self.direct_rps * CALM_OF_CAPACITY, self.spike_rps)

    @property
    def workers(self) -> int:
        """MaximumConcurrency of the queue's mapping: as few as keep the partner busy, two at least (AWS's minimum)."""
        return max(2, min(WORKERS, floor(self.calls_at_once)))

    @property
    def max_in_flight(self) -> int:
        """Connections of one worker."""
        return max(1, floor(self.calls_at_once / self.workers))

    @property
    def calls_at_once(self) -> float:
        """Calls under way that make the partner's rate: rate times latency (Little's law), with a margin."""
        return max(
            self.partner_rate * PARTNER_SHARE * self.partner_latency_ms / 1000, float(self.calls_at_once_at_least)
        )

    @property
    def ingest_limit(self) -> int:
        """The executions that the workers leave of the limit."""
        return self.limit - self.workers

    def as_json(self, shows: Sequence[str] = ()) -> Mapping[str, Any]:
        """What the report shows: the numbers, those that only some scenarios use if asked for, and the derived ones."""
        given = {name: value for name, value in asdict(self).items() if name not in OF_SCENARIOS or name in shows}
        given["partner_rate_per_s"] = given.pop("partner_rate")
        return given | {
            "spike_rps": round(self.spike_rps, 1),
            "calm_rps": round(self.calm_rps, 1),
            "spillway_ingest_reserved_concurrency": self.ingest_limit,
            "spillway_worker_maximum_concurrency": self.workers,
            "spillway_max_in_flight": self.max_in_flight,
        }
