"""Amplitude at an address of this machine: this module is beside the worker's code, and PARTNER names it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from partners.amplitude import UPLOADS, Amplitude


@dataclass(frozen=True)
class AmplitudeHere(Amplitude):
    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        UPLOADS["here"] = f"{env['BENCH_AMPLITUDE_URL']}/batch"
        return cls(region="here")
