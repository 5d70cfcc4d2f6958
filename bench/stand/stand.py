"""Everything that the rows share: the functions' code, the certificates, the stub of AWS, and how long to measure."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import CannotMeasure
from bench.stand import code
from bench.stand.certificates import Certificates, make_certificates
from bench.stand.function import PYTHON, Code
from bench.stand.stubs import Running, stub
from infra.stage import ROOT

HERE = ROOT / "bench/here"
"""Partners of ours at addresses of this machine."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: the part of a full run's work in a round, the rounds of a row at least, and the part of the
    seconds that a full run gives each row. `messages`: how far the growth row goes, if `growth_s` seconds are enough.
    """

    name: str
    part: float
    least: int
    time_part: float
    messages: int
    growth_s: float

    @property
    def is_full(self) -> bool:
        return self.part >= 1

    def of(self, count: int) -> int:
        """So many of a full run's calls."""
        return max(1, round(count * self.part))

    def budget_s(self, full_s: float) -> float:
        """What a row may take that takes so long in a full run."""
        return full_s * self.time_part


FULL = Effort("full", 1.0, 3, 1.0, 1_000_000, 100)
QUICK = Effort("quick", 0.2, 1, 0.1, 10_000, 8)


@dataclass(frozen=True, slots=True)
class Stand:
    """`code` by function or peer: `ingest`, `worker`, or the module of bench/peers."""

    aws: Running
    certificates: Certificates
    effort: Effort
    folder: Path

    def code(self, name: str, **env: str) -> Code:
        """A function of ours, or a peer by its module."""
        if name in {"ingest", "worker"}:
            return Code(f"Spillway's {name}", self.folder / name, f"{name}_fn.handler.handler", env, (HERE,))
        return Code(name, self.folder / "peers", f"{name}.handler", env)

    def env(self, **more: str) -> Mapping[str, str]:
        """What infra gives both functions, pointing here."""
        queue = f"{self.aws.url}/000000000000"
        return {
            **self.certificates.trusted(),
            "AWS_ENDPOINT_URL": self.aws.url,
            "QUEUE_URL": f"{queue}/queue",
            "DLQ_URL": f"{queue}/dead-letters",
            "PARKING_QUEUE_URL": f"{queue}/parking",
            "STATE_TABLE": "state",
            "STAGE": "bench",
            **more,
        }


@contextmanager
def stand(effort: Effort) -> Iterator[Stand]:
    """Builds, writes and starts it; all of it is gone when the block ends."""
    if not PYTHON.exists():
        raise CannotMeasure("there is no .venv-bench; make bench makes it")
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as name:
        folder = Path(name)
        (folder / "tls").mkdir()
        certificates = make_certificates(folder / "tls")
        for function in ("ingest", "worker"):
            code.ours(function, folder)
        code.peers(folder)
        with stub("aws", certificates) as aws:
            yield Stand(aws, certificates, effort, folder)
