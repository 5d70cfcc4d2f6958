"""How long answers took, measured at the caller and compared with mParticle's rule.

mParticle calls from beside the function, and this command does not. So the time of one round trip is subtracted before
an answer is compared with the limit, and the report says so. Any further delay of a slow line is not subtracted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ops.certify.exchange import Exchange
from ops.certify.objections import Objection
from ops.certify.targets import LAMBDA_LIMIT_MS
from ops.console.findings import Severity
from testkit.percentile import percentile

COLD_LIMIT_MS = 1_000.0
"""This is no rule of mParticle's: a spike starts many environments at once, and these cannot meet 99%."""


@dataclass(frozen=True, slots=True)
class Series:
    calls: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, exchanges: Sequence[Exchange]) -> "Series | None":
        """The times of accepted answers; None if there was none."""
        taken_ms = [one.answer.ms for one in exchanges if one.accepted]
        p50_ms, p99_ms = percentile(taken_ms, 0.50), percentile(taken_ms, 0.99)
        if p50_ms is None or p99_ms is None:
            return None
        return cls(len(taken_ms), p50_ms, p99_ms, max(taken_ms))

    def as_json(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "p50_ms": round(self.p50_ms, 1),
            "p99_ms": round(self.p99_ms, 1),
            "max_ms": round(self.max_ms, 1),
        }


@dataclass(frozen=True, slots=True)
class Times:
    """`warm`: of requests one after the other; `cold`: of the burst's requests at once, with one environment warm."""

    limit_ms: float
    network_ms: float | None = None
    warm: Series | None = None
    cold: Series | None = None
    rule_ms: float = LAMBDA_LIMIT_MS
    """mParticle's own limit; `limit_ms` is what the user chose instead."""

    def too_slow(self) -> Iterator[Objection]:
        """Object to warm answers beyond the limit."""
        network_ms = self.network_ms or 0.0
        if self.warm and (net_ms := self.warm.p99_ms - network_ms) > self.limit_ms:
            who = "mParticle" if self.limit_ms == self.rule_ms else "--max-ms"
            yield Objection(
                "times.p99",
                f"99% of {self.warm.calls} warm answers took up to {net_ms:.0f} ms without the network's"
                f" {network_ms:.0f} ms; {who} asks for less than {self.limit_ms:.0f} ms",
                "queue the request and answer, instead of calling the partner meanwhile; then give the function more"
                " memory, which is also more processor",
            )

    def slow_to_start(self) -> Iterator[Objection]:
        """Warn of answers of a burst that take far longer."""
        if self.cold and (net_ms := self.cold.p50_ms - (self.network_ms or 0.0)) > COLD_LIMIT_MS:
            yield Objection(
                "times.cold",
                f"half of the {self.cold.calls} answers to requests that came at once took more than {net_ms:.0f} ms",
                "a spike starts many executions at once: import less at start, build clients once, give more memory,"
                " or use SnapStart or provisioned concurrency",
                severity=Severity.WARNING,
            )

    def as_json(self) -> dict[str, Any]:
        return {
            "limit_ms": self.limit_ms,
            "network_ms": None if self.network_ms is None else round(self.network_ms, 2),
            "warm": self.warm and self.warm.as_json(),
            "cold": self.cold and self.cold.as_json(),
        }
