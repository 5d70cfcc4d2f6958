"""What all rows share: the functions' code, the certificates, the stub of AWS, and how long to measure."""

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
"""Spillway's partners with addresses of this machine."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: `part` of a full run's work in a round, at least `least` rounds for a row, and `time_part`
    of the seconds that a full run gives each row. The growth row runs `messages`, if `growth_s` seconds are enough.
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
        """The number of calls in place of a full run's `count`."""
        return max(1, round(count * self.part))

    def budget_s(self, full_s: float) -> float:
        """The seconds for a row that has `full_s` in a full run."""
        return full_s * self.time_part


FULL = Effort("full", 1.0, 3, 1.0, 1_000_000, 100)
QUICK = Effort("quick", 0.2, 1, 0.1, 10_000, 8)


@dataclass(frozen=True, slots=True)
class Stand:
    """The stub of AWS, the certificates, the effort, and the folder with the code of functions and peers."""

    aws: Running
    certificates: Certificates
    effort: Effort
    folder: Path

    def code(self, name: str, **env: str) -> Code:
        """The code of `ingest` or `worker`, or of a peer by its module's name."""
        if name in {"ingest", "worker"}:
            return Code(f"Spillway's {name}", self.folder / name, f"{name}_fn.handler.handler", env, (HERE,))
        return Code(name, self.folder / "peers", f"{name}.handler", env)

    def env(self, **more: str) -> Mapping[str, str]:
        """The variables that the stack gives both functions, with addresses of the stubs."""
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
    """Build and start the stand; when the block ends, all of it is removed."""
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
