"""Failed attempts: how often the partner failed on a message while it took others, and when that is enough."""

from dataclasses import replace

from shared.message import ERASURE
from worker_fn.batch.context import Worker
from worker_fn.batch.job import Job
from worker_fn.dispatch.classify import Verdict
from worker_fn.dispatch.lanes import Dispatch
from worker_fn.limits import agreement


def failed_attempts(job: Job, worker: Worker) -> int:
    """How many attempts of this invocation failed while the partner took other calls; push-backs do not count."""
    return sum(item.attempts for item in job.items if _failed(item)) if _takes_others(job, worker) else 0


def give_up_failing(job: Job, worker: Worker) -> None:
    """Refuse the delivery on which the partner failed too often while it took others: those behind it go on.

    An erasure is not refused, only its age ends it: the API for erasures may be down while the API for data works.
    """
    if job.message.type == ERASURE:
        return
    takes_others = _takes_others(job, worker)
    for item in job.items:
        if item.outcome is None or not item.attempts or not _failed(item):
            continue
        failed = job.progress.failed_attempts + (item.attempts if takes_others else 0)
        if failed >= worker.budgets.max_failed_attempts:
            error = f"{item.outcome.error} {failed} times, while other calls succeed"
            item.outcome = replace(item.outcome, verdict=Verdict.REJECTED, error=error)
            job.has_given_up = True


def _failed(item: Dispatch) -> bool:
    return item.outcome is not None and item.outcome.verdict is Verdict.RETRY and item.outcome.status != 429


def _takes_others(job: Job, worker: Worker) -> bool:
    """Whether other calls arrive, also of this account: then the message itself is at fault."""
    served = worker.limiters.is_served(job.message.account_id)
    return served and agreement.is_healthy(worker.limiters.partner.flow, now_ms=worker.now_ms())
