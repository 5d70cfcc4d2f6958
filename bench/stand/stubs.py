"""Starts stubs, reads their counts, and ends them."""

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from bench.measure import CannotMeasure
from bench.stand.certificates import Certificates
from infra.stage import ROOT


@dataclass(frozen=True, slots=True)
class Running:
    """A running stub; its CPU time is read by `pid`."""

    port: int
    pid: int
    certificates: Certificates

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def counts(self) -> Mapping[str, int]:
        """The number of answers since the stub was started, by operation; a partner's are under `calls`."""
        trust = ssl.create_default_context(cafile=str(self.certificates.cert))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=trust)
        try:
            connection.request("GET", "/-/counts")
            counted: Mapping[str, int] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return counted


@contextmanager
def stub(kind: str, certificates: Certificates, *, latency_s: float = 0) -> Iterator[Running]:
    """Run a stub of `aws` or of a `partner` until the block ends."""
    command = [sys.executable, "-m", "bench.stand.stub", kind, str(certificates.cert), str(certificates.key)]
    with subprocess.Popen(
        [*command, str(latency_s)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,  # so that Ctrl-C reaches only the bench, which ends the stub
    ) as process:  # fmt: skip
        port = process.stdout.readline() if process.stdout else ""
        if not port.strip():
            raise CannotMeasure(f"the stub of {kind} did not start")
        try:
            yield Running(int(port), process.pid, certificates)
        finally:
            if process.stdin:
                process.stdin.close()
            process.wait(timeout=10)
