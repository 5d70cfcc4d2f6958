"""Whether a registration is held to mParticle's rules as it is declared (shared/firehose/registration.py)."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_by_the_rules: ContextVar[bool] = ContextVar("by_the_rules", default=True)


def is_enforced() -> bool:
    return _by_the_rules.get()


@contextmanager
def rules_unenforced() -> Iterator[None]:
    """Let declarations break rules while the block lasts: for a tool that lists broken rules, and for a function that
    was deployed all the same and has to answer.
    """
    before = _by_the_rules.set(False)
    try:
        yield
    finally:
        _by_the_rules.reset(before)
