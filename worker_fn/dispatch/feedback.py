"""What an answer tells the limiters: the partner's, and the account's if the limits are by account.

What counts as a fault for the breaker is decided here: an answer that is to be tried again and is no 429 (5xx, 408,
425, a time-out, a broken connection), unless the account alone fails while others arrive.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from partners import RateHeaders
from worker_fn.accounts.outliers import Outliers
from worker_fn.clients.http import Answer
from worker_fn.dispatch import rate_headers
from worker_fn.dispatch.classify import Outcome, Verdict
from worker_fn.limits import agreement
from worker_fn.limits.flow import Tally
from worker_fn.limits.session import Session


@dataclass(frozen=True, slots=True)
class Feedback:
    """`limiter` is the partner's; `rate_headers` are those that its API is declared to send."""

    limiter: Session
    outliers: Outliers
    rate_headers: RateHeaders | None
    now_ms: Callable[[], int]
    log: Callable[..., None]

    def note(
        self,
        outcome: Outcome,
        answer: Answer,
        account_id: str | None,
        account_limiter: Session | None,
        *,
        took_ms: int,
        probe: bool,
    ) -> None:
        """Note the partner's answer, or that there was none. `probe`: the call was the breaker's probe."""
        asked_s = outcome.retry_after_s
        asks_long = asked_s is not None and asked_s > agreement.LONGEST_FOR_ALL_S
        if asked_s is None and answer.retry_after is not None and outcome.verdict is Verdict.RETRY:
            self.log("Retry-After ignored: not to be read, or over a week", status=outcome.status)
        spent_s = None
        if self.rate_headers is not None:
            spent_s = rate_headers.cool_down_s(answer.headers, self.rate_headers, now_s=self.now_ms() / 1_000)
        throttled = outcome.status == 429
        pushed_back = throttled and outcome.items is None  # else only some items were pushed back
        fault = outcome.verdict is Verdict.RETRY and not throttled
        for_all = asks_long and account_limiter is None
        own = (fault or for_all) and self.outliers.failed(account_id, now_ms=self.now_ms())
        if not throttled and not fault:
            self.outliers.delivered(account_id, now_ms=self.now_ms())
        tally = Tally(
            delivered=int(not pushed_back and not fault),
            refused=int(pushed_back),
            faults=int(fault and not own),
            timeouts=int(answer.fault == "timeout" and not own),
            took_ms=took_ms,
        )
        if account_limiter is not None:  # the partner's limits are by account, so it asks only this account to wait
            until_ms = self._until_ms(asked_s, spent_s, longest_s=agreement.LONGEST_COOL_DOWN_S)
            reached = Tally(delivered=1, took_ms=took_ms)
            said = tally if throttled else reached
            account_limiter.note(replace(said, cool_until_ms=until_ms) if until_ms else said)
            tally = reached if throttled else tally
        elif not (for_all and own):
            until_ms = self._until_ms(asked_s, spent_s, longest_s=agreement.LONGEST_FOR_ALL_S)
            tally = replace(tally, cool_until_ms=until_ms, asks_long=for_all) if until_ms or for_all else tally
        if probe:
            arrived = not tally.faults and not tally.refused
            tally = replace(tally, probe=arrived, said=outcome.error or f"HTTP {outcome.status}")
        self.limiter.note(tally)

    def end_probe(self, *, said: str = "") -> None:
        """Note that the breaker's probe found nothing out, because other workers wait for its result."""
        self.limiter.note(Tally(probe=False, said=said))

    def _until_ms(self, *waits_s: float | None, longest_s: float) -> int:
        """When the longest of some waits ends; 0 without any."""
        asked = [wait_s for wait_s in waits_s if wait_s is not None]
        return self.now_ms() + round(1_000 * min(max(asked), longest_s)) if asked else 0
