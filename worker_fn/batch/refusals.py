"""What refused credentials (401, 403) mean for the messages of a batch: which wait, are parked, or given up.

Before a message is sent, `place` says whether its credentials are suspended; after its answers, `suspend_refused`
suspends what was refused, and `end_by_credentials` says how the message ends. accounts/auth_failures.py tells what a
refusal is about, accounts/suspensions.py which credentials are suspended.
"""

from collections.abc import Sequence
from functools import partial
from itertools import takewhile

from shared.telemetry import Fact
from worker_fn.accounts.auth_failures import AuthFailures
from worker_fn.accounts.suspension import EVERY, Suspension, probe_wait_s
from worker_fn.accounts.suspensions import Place
from worker_fn.batch.alone import each
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import (
    LONGEST_HIDDEN_S,
    DeadLetter,
    End,
    Parked,
    Reason,
    Waiting,
    Whose,
    back_off_s,
    least_wait_s,
)
from worker_fn.batch.facts import ids
from worker_fn.batch.job import Job
from worker_fn.batch.progress import Progress
from worker_fn.dispatch.classify import Outcome, Verdict
from worker_fn.dispatch.lanes import credential_of
from worker_fn.limits.ruling import Because

FEW_FAILURES = 4
"""A message that was not sent waits as after four failures, 40 s at most, so that those before it are done."""


async def place(jobs: Sequence[Job], worker: Worker) -> bool:
    """Find the messages with suspended credentials, of those mapped since the last call: one is the probe, the others
    are parked. Returns whether there are any.
    """
    found = [job for job in jobs if not (job.is_over or job.is_placed) and (job.fingerprints or job.is_mapped)]
    await worker.suspensions.refresh()

    async def find(job: Job) -> None:
        job.place = await worker.suspensions.place(job.carried)

    for job in found:
        job.is_placed = True
    await each((job for job in found if worker.suspensions.of(job.message.account_id, job.fingerprints)), find)
    if worker.in_groups:
        await each(found, partial(_wait_behind_probe, jobs=jobs, worker=worker))
    return any(job.is_over or job.place is not Place.SEND for job in found)


async def _wait_behind_probe(job: Job, jobs: Sequence[Job], worker: Worker) -> None:
    """In a FIFO queue no message passes a waiting probe of its group, whatever credentials it carries."""
    if job.place is not Place.SEND:
        return
    for other in takewhile(lambda other: other is not job, jobs):
        if other.record.group == job.record.group and other.place is Place.PROBE_LATER:
            suspension = worker.suspensions.of(other.message.account_id, other.fingerprints)
            job.end = _wait_for_probe(job, suspension, worker)


async def note_taken(job: Job, auth_failures: AuthFailures, worker: Worker) -> None:
    """Note for accounts and credentials which calls the partner took, before any end is decided."""
    for item in job.items:
        if item.outcome is None or item.outcome.verdict is not Verdict.DELIVERED:
            continue
        worker.limiters.note_delivered(job.message.account_id)
        if (credential := credential_of(item, job.message.account_id)) is not None:
            begun_ms, kind = auth_failures.begun_ms(credential), job.message.type
            await worker.suspensions.note_taken(credential, kind=kind, begun_ms=begun_ms, beside=job.fingerprints)


async def suspend_refused(job: Job, auth_failures: AuthFailures, worker: Worker) -> None:
    """Suspend the credentials of a message that were refused, before any message's end is decided.

    The first message that was refused is the probe; all others have to find the suspension there. If a message was
    refused while the same credentials were accepted in others, the message itself is at fault and suspends nothing,
    neither now nor when it comes back: otherwise each return of it would hold up messages that the partner takes.
    """
    refused = ((credential_of(item, job.message.account_id), item) for item in job.items if item.is_refused)
    known = [(credential, item) for credential, item in refused if credential is not None]
    if not known:
        return
    job.is_refused_alone = all(auth_failures.taken_since(credential, item.key) for credential, item in known)
    if job.is_refused_alone:
        return
    credential, item = known[0]
    status = item.outcome.status if item.outcome and item.outcome.status else 401
    suspension = worker.suspensions.of(job.message.account_id, [credential.fingerprint])
    if suspension is not None:
        if suspension.fingerprint == EVERY and suspension.probe_id == job.record.message_id:
            await worker.suspensions.narrow(suspension, job.carried, credential.fingerprint, status=status)
        return
    job.is_refused_alone = await worker.suspensions.was_taken_since(
        credential, refused_ms=job.progress.auth_failed_ms, received_at_ms=job.message.received_at_ms
    )
    if not job.is_refused_alone and not job.progress.auth_failures:
        await worker.suspensions.suspend(job.carried, credential.fingerprint, status=status)
        worker.facts(Fact.SUSPENDED, **ids(job), status=status)


def held_up(job: Job, worker: Worker) -> End:
    """The end of a message that is not sent because its credentials are suspended."""
    suspension = worker.suspensions.of(job.message.account_id, job.fingerprints)
    if job.place is Place.GIVE_UP and suspension is not None:
        return _given_up(suspension, job.progress)
    return _held(job, suspension, worker, is_probe=job.place is Place.PROBE_LATER)


async def end_by_credentials(job: Job, end: End, progress: Progress, worker: Worker) -> End:
    """The end of a message that was sent, if its credentials decide it; else the end that it has. Clears the
    suspension whose probe arrived.
    """
    account_id = job.message.account_id
    if account_id is None or (isinstance(end, DeadLetter) and end.reason is Reason.TOO_OLD):
        return end
    known = [(item, item.outcome) for item in job.items if item.outcome is not None]
    held = [item for item, outcome in known if item.is_refused or outcome.because is Because.SUSPENDED]
    if held:
        suspension = worker.suspensions.of(account_id, [item.fingerprint for item in held])
        if suspension is None:
            refused = next((item.outcome for item in held if item.is_refused), None)
            return _refused_alone(job, refused, progress, worker)
        if suspension.is_given_up(now_ms=worker.now_ms()) and not job.record.was_dead:
            return _given_up(suspension, progress)
        return _held(job, suspension, worker, is_probe=suspension.probe_id == job.record.message_id)
    taken = [item.fingerprint for item, outcome in known if outcome.verdict is Verdict.DELIVERED]
    suspension = worker.suspensions.of(account_id, taken)
    if suspension is not None and suspension.probe_id == job.record.message_id:
        await worker.suspensions.clear(suspension)
        worker.facts(Fact.CLEARED, **ids(job))
    return end


def _held(job: Job, suspension: Suspension | None, worker: Worker, *, is_probe: bool) -> End:
    """The end of a message whose credentials are suspended: a probe waits for its turn, what is no probe is parked."""
    age_s = (worker.now_ms() - job.begun_ms) / 1_000
    if age_s > worker.budgets.age_s(job.message.type):
        return DeadLetter(Reason.TOO_OLD, f"its credentials are refused; {age_s / 3_600:.0f} hours old")
    return _wait_for_probe(job, suspension, worker) if is_probe else Parked()


def _wait_for_probe(job: Job, suspension: Suspension | None, worker: Worker) -> Waiting:
    """Wait until the suspension's probe may be tried; longer where the message was received often, which a probe of a
    FIFO queue is: it stays the probe for as long as the suspension lasts.
    """
    left_s = max(1.0, worker.budgets.age_s(job.message.type) - (worker.now_ms() - job.begun_ms) / 1_000)
    least_s = min(least_wait_s(job.record.receives, left_s, worker.rng), int(left_s), LONGEST_HIDDEN_S)
    return Waiting(max(probe_wait_s(suspension, now_ms=worker.now_ms()), least_s), "suspended")


def _refused_alone(job: Job, refused: Outcome | None, progress: Progress, worker: Worker) -> End:
    """The end of a message that a refusal holds up, its own or that of another message of the batch, although its
    credentials are not suspended.
    """
    if refused is None:  # only other messages were refused
        return Waiting(back_off_s(FEW_FAILURES, rng=worker.rng), "refused", Whose.ACCOUNT_FAILURE)
    if not job.is_refused_alone:  # the suspension could not be written, or the message was refused alone before
        return Waiting(probe_wait_s(None, now_ms=worker.now_ms()), "refused", Whose.ACCOUNT_FAILURE)
    if progress.auth_failures >= worker.budgets.max_auth_failures:
        error = f"{refused.error} {progress.auth_failures} times, while others of its account are taken"
        return DeadLetter(Reason.UNAUTHORIZED, error, refused.status, progress.attempts)
    wait_s = back_off_s(progress.auth_failures, rng=worker.rng)
    return Waiting(wait_s, str(refused.error), Whose.ACCOUNT_FAILURE)


def _given_up(suspension: Suspension, progress: Progress) -> DeadLetter:
    error = f"HTTP {suspension.status} for its credentials, while newer ones of its account are taken"
    return DeadLetter(Reason.UNAUTHORIZED, error, suspension.status, progress.attempts)
