"""What a call came to, on its way to the fleet."""

from dataclasses import dataclass

from worker_fn.limits.flow import DELIVERED, FAULTS, GOOD, TIMEOUTS, TOOK_MS, Flow


@dataclass(frozen=True, slots=True)
class Tally:
    """`faults` counts 5xx, time-outs and broken connections; `timeouts` those of them that timed out."""

    delivered: int = 0
    refused: int = 0
    faults: int = 0
    timeouts: int = 0
    took_ms: int = 0
    """What an answered call took."""
    cool_until_ms: int = 0
    asks_long: bool = False
    """All were asked to wait for longer than one answer stops everybody: from then on one probe at a time."""
    probe: bool | None = None
    """Whether the probe that was ours arrived; None: there was none."""
    said: str = ""
    """What it was answered."""

    @property
    def is_for_all(self) -> bool:
        """Whether everybody should know at once."""
        return bool(self.cool_until_ms or self.probe is not None)

    def counts(self, flow: Flow) -> dict[str, int]:
        """As counts of an item that stands so."""
        counts = {
            DELIVERED: self.delivered,
            FAULTS: self.faults,
            GOOD: self.delivered + self.refused if FAULTS in flow.counts else 0,
            TIMEOUTS: self.timeouts,
            TOOK_MS: self.took_ms,
            flow.pushed: self.refused,
        }
        return {name: count for name, count in counts.items() if count}
