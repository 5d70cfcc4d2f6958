"""The checks, in the order in which they are played. Registration is the first: it decides on what the others send."""

from ops.certify.check import Check
from ops.certify.checks import (
    audiences,
    burst,
    erasures,
    events,
    http_rules,
    malformed,
    newer,
    probes,
    registration,
    repeats,
    size,
    subscriptions,
    times,
)

REGISTRATION = registration.CHECK
"""The check that is always played."""

BURST = burst.CHECK
TIMES = times.CHECK

CHECKS: tuple[Check, ...] = (
    probes.CHECK,
    events.CHECK,
    audiences.CHECK,
    subscriptions.CHECK,
    erasures.CHECK,
    newer.CHECK,
    repeats.CHECK,
    size.CHECK,
    http_rules.CHECK,
    malformed.CHECK,
    burst.CHECK,
    times.CHECK,
)
