"""Iterable at an address of this machine: this module is beside the worker's code, and PARTNER names it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from partners.iterable import Iterable


@dataclass(frozen=True)
class IterableHere(Iterable):
    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        return replace(super().from_env(env), host=env["BENCH_ITERABLE_URL"])
