"""How a message ends, decided from the outcomes of its deliveries, and how long it waits across receives. Pure.

delivered      everything arrived
waiting        something must be tried again: hidden, by its visibility timeout, until it makes sense
dead letter    something was refused and nothing waits; or it waits beyond its age or its attempts

Back-off is exponential with full jitter: each wait is drawn evenly from zero to a bound that doubles.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from shared.message import ERASURE
from shared.queue import MAX_VISIBILITY_S
from worker_fn.dispatch.classify import Outcome, Verdict
from worker_fn.limits.agreement import LONGEST_COOL_DOWN_S
from worker_fn.limits.ruling import Because


class Reason(StrEnum):
    """Why a message is in the dead-letter queue. docs/flow.md says what to do about each."""

    REJECTED = "rejected"
    """The partner said no, or failed on this message again and again while it took others."""
    UNAUTHORIZED = "unauthorized"
    """Its credentials were refused again and again while the account's other calls arrived, or it has no account."""
    TOO_OLD = "too_old"
    UNDECODABLE = "undecodable"
    UNMAPPABLE = "unmappable"
    """The partner's code raised, took too long, or made a call that cannot be sent or an answer that cannot be read."""
    FAILED = "failed"
    """Our own code raised after the message was mapped."""


@dataclass(frozen=True, slots=True)
class Delivered:
    pass


class Whose(StrEnum):
    """Who or what a message waits for."""

    FLEET = "fleet"
    """Everybody waits: a cool-down, the breaker, the partner's rate; or only the invocation's time ended."""
    ACCOUNT_RATE = "account_rate"
    """The account waits for its rate or cool-down: its messages come back one after the other."""
    ACCOUNT_FAILURE = "account_failure"
    """Calls for the message failed: only a bounded number of its account's messages may wait."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Come back in `wait_s` whole seconds; `why` is for the log."""

    wait_s: int
    why: str = ""
    of: Whose = Whose.FLEET
    endpoint: str | None = None
    """Of ACCOUNT_RATE: the bulk endpoint whose rate it is; None: the account's one rate for all calls."""


@dataclass(frozen=True, slots=True)
class Parked:
    """To the parking queue, body and attributes unchanged."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Not tried again, unless someone mends the cause and redrives. `error` holds nothing of the payload."""

    reason: Reason
    error: str
    status: int | None = None
    attempts: int = 0


End = Delivered | Waiting | Parked | DeadLetter

REASON_OF = {
    Verdict.REJECTED: Reason.REJECTED,
    Verdict.UNAUTHORIZED: Reason.UNAUTHORIZED,
    Verdict.UNSENDABLE: Reason.UNMAPPABLE,
    Verdict.UNREADABLE: Reason.UNMAPPABLE,
}

MANY_RECEIVES, MOST_RECEIVES = 50, 900
"""From the first number on, receives are spaced to end by the second: before the queue's maxReceiveCount of 1,000."""

LONGEST_HIDDEN_S = MAX_VISIBILITY_S - 1_200
"""SQS counts its 12 hours from the receive, and refuses to hide for more: before it is hidden a message may have been
with Lambda for its longest batching window (300 s) and its longest invocation (900 s).
"""

FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 5.0, 900.0
"""Fifteen minutes at most: with jitter, a partner that recovers sees its backlog return within that time."""

DAY_S = 24 * 3_600.0


@dataclass(frozen=True, slots=True)
class Budgets:
    """How long a message may wait, and how often its own failure is taken for the partner's.

    There are two separate budgets: waiting uses up age alone. A failed attempt counts if the partner took other calls
    meanwhile, a 401 or 403 (an auth failure) if it took others of the account. `erasure_age_s` is longer, because
    nobody repeats an erasure that was given up.
    """

    max_age_s: float = 3 * DAY_S
    erasure_age_s: float = 13 * DAY_S
    max_failed_attempts: int = 50
    max_auth_failures: int = 3

    def age_s(self, kind: str) -> float:
        return self.erasure_age_s if kind == ERASURE else self.max_age_s


@dataclass(frozen=True, slots=True)
class Story:
    """What is known of a message when its end is decided. Times in ms since the epoch; `refused`: key -> reason, from
    earlier receives.
    """

    kind: str
    received_at_ms: int
    now_ms: int
    attempts: int
    """Calls made for this message, answered or not, push-backs left out, over all receives."""
    total: int
    receives: int = 1
    failures: int = 0
    """Failed calls in a row of the deliveries that wait, over all receives: the largest number of any."""
    refused: Mapping[str, str] = field(default_factory=dict)


def end_of(outcomes: Sequence[Outcome | None], story: Story, budgets: Budgets, rng: random.Random) -> End:
    """Decide the end. `None` is a delivery that was not reached: one before it in its lane waits."""
    waiting = [one for one in outcomes if one is not None and one.verdict is Verdict.RETRY]
    if waiting or None in outcomes:
        return _waiting(waiting or [Outcome(Verdict.RETRY, because=Because.TIME)], story, budgets, rng)
    refused = [one for one in outcomes if one is not None and one.verdict in REASON_OF]
    refused += [Outcome(Verdict.REJECTED, error=why) for why in story.refused.values()]
    if not refused:
        return Delivered()
    worst = next((one for one in refused if one.verdict is Verdict.UNAUTHORIZED), refused[0])
    error = f"{worst.error} for {len(refused)} of {story.total} deliveries"
    return DeadLetter(REASON_OF[worst.verdict], error, worst.status, story.attempts)


def _waiting(waiting: Sequence[Outcome], story: Story, budgets: Budgets, rng: random.Random) -> End:
    called = [one for one in waiting if one.because is None]
    last = called[0] if called else waiting[0]
    why, age_s = str(last.error or last.because), (story.now_ms - story.received_at_ms) / 1_000
    left_s = budgets.age_s(story.kind) - age_s
    if left_s <= 0:
        return DeadLetter(Reason.TOO_OLD, f"{why} after {age_s / 3_600:.0f} hours", last.status, story.attempts)
    wait_s = max(_wait_s(waiting, called, story, age_s, rng), least_wait_s(story.receives, left_s, rng))
    wait_s = min(wait_s, LONGEST_HIDDEN_S, max(1, int(left_s)))
    if called and all(one.is_about_the_call for one in called):
        return Waiting(wait_s, why, Whose.ACCOUNT_FAILURE)
    limited = next((one for one in waiting if one.is_of_account), None)
    if not called and limited is not None:
        return Waiting(wait_s, why, Whose.ACCOUNT_RATE, limited.endpoint)
    return Waiting(wait_s, why)


def least_wait_s(receives: int, left_s: float, rng: random.Random) -> int:
    """The least time that a message waits if it was received often: its receives have to last for its age.

    SQS itself dead-letters a message after a thousand receives, without a reason.
    """
    if receives < MANY_RECEIVES:
        return 0
    return math.ceil(left_s / max(1, MOST_RECEIVES - receives) * rng.uniform(1.0, 1.5))


def _wait_s(
    waiting: Sequence[Outcome], called: Sequence[Outcome], story: Story, age_s: float, rng: random.Random
) -> int:
    if called:
        asked = max(one.retry_after_s or 0.0 for one in called)
        return back_off_s(story.failures, retry_after_s=min(asked, LONGEST_COOL_DOWN_S), rng=rng)
    if all(one.because is Because.TIME for one in waiting):
        return 1  # nobody said no: the time of this invocation ran out
    until_s = max((one.wait_until_ms - story.now_ms) / 1_000 for one in waiting)
    if any(one.because is Because.BREAKER for one in waiting):
        # Past the next probe, by at most half the message's age: it notices a recovery in proportion to the outage.
        bound = min(LONGEST_BACK_OFF_S, max(FIRST_BACK_OFF_S, age_s / 2))
        return max(1, math.ceil(max(0.0, until_s) + rng.uniform(0, bound)))
    return max(1, round(until_s + rng.uniform(0, min(30.0, max(1.0, until_s / 4))) + 0.5))


def back_off_s(failures: int, *, rng: random.Random, retry_after_s: float = 0.0) -> int:
    """Whole seconds, at least one, until a message should come back that failed `failures` times in a row.

    Jitter only adds to what the partner asked for.
    """
    bound = min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2 ** min(max(failures, 1) - 1, 30))
    return max(1, math.ceil(retry_after_s + rng.uniform(0, bound)))
