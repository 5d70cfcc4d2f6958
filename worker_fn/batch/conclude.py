"""STAGE 3, its end: what the outcomes of a job's deliveries mean for the message, its account and its progress."""

from dataclasses import replace

from shared.errors import StateUnavailable
from shared.message import ERASURE
from shared.state import Conflict
from worker_fn.accounts.auth_failures import AuthFailures
from worker_fn.accounts.suspension import EVERY, Suspension
from worker_fn.accounts.suspensions import Place
from worker_fn.batch import progress as progresses
from worker_fn.batch.context import Worker
from worker_fn.batch.disposition import DeadLetter, Delivered, End, Parked, Reason, Story, Waiting, Whose, end_of
from worker_fn.batch.job import UNREAD, Job
from worker_fn.batch.progress import Progress, short
from worker_fn.batch.settle import Report, Settled
from worker_fn.dispatch.classify import Outcome, Verdict
from worker_fn.dispatch.lanes import Dispatch, credential_of
from worker_fn.dispatch.retry import back_off_s
from worker_fn.limits import agreement as flows
from worker_fn.limits.agreement import Because

FEW_FAILURES = 4
"""A message that was not called waits as if it had failed so often: half a minute, so that those before it are gone."""


async def note_taken(job: Job, auth_failures: AuthFailures, worker: Worker) -> None:
    """Note which credentials were taken in a message, before anything is made of refusals."""
    for item in job.items:
        credential = credential_of(item, job.message.account_id)
        if credential is not None and item.outcome and item.outcome.verdict is Verdict.DELIVERED:
            begun_ms = auth_failures.begun_ms(credential)
            await worker.suspensions.note_taken(credential, kind=job.message.type, begun_ms=begun_ms)


async def suspend_refused(job: Job, auth_failures: AuthFailures, worker: Worker) -> None:
    """Suspend the credentials of a message that were refused, before any message's end is decided.

    The first message that was refused is the probe; all others have to find the suspension there. A message that was
    refused while the same credentials were taken in others is refused for its own sake, and suspends nothing: neither
    now nor when it comes back, or each return of it would hold up what is taken.
    """
    refused = [item for item in job.items if _is_refused(item)]
    pairs = [(credential_of(item, job.message.account_id), item) for item in refused]
    known = [(credential, item) for credential, item in pairs if credential is not None]
    if not known:
        return
    job.is_denied_alone = all(auth_failures.taken_since(credential, item.key) for credential, item in known)
    if job.is_denied_alone:
        return
    credential, item = known[0]
    status = item.outcome.status if item.outcome and item.outcome.status else 401
    suspension = worker.suspensions.of(job.message.account_id, [credential.fingerprint])
    if suspension is not None:
        if suspension.fingerprint == EVERY and suspension.probe_id == job.message_id:
            await worker.suspensions.narrow(suspension, job.carried, credential.fingerprint, status=status)
        return
    job.is_denied_alone = await worker.suspensions.was_taken_since(
        credential, denied_ms=job.progress.denied_ms, received_at_ms=job.message.received_at_ms
    )
    if not job.is_denied_alone and not job.progress.denials:
        await worker.suspensions.suspend(job.carried, credential.fingerprint, status=status)


async def conclude(job: Job, worker: Worker) -> None:
    """Decide a job's end, if it has none, and see to what that means for its account and its progress."""
    if job.end is not None:
        return
    age_s = (worker.now_ms() - job.message.received_at_ms) / 1_000
    if job.message is UNREAD:
        job.end = Waiting(1, Because.TIME)
    elif job.place is not Place.SEND:
        job.end = _held_up(job, age_s, worker)
    else:
        await _conclude(job, worker)


def settled(job: Job, worker: Worker) -> Settled:
    """A job and its end, as it is carried out."""
    attributes = {
        "partner": worker.partner.name,
        "type": job.kind,
        "account_id": job.message.account_id or "",
        "first_received_ms": job.first_received_ms,
    }
    end = job.end or Waiting(1)
    return Settled(job.record, end, attributes, job.total if job.is_mapped else None)


async def _conclude(job: Job, worker: Worker) -> None:
    strike_out(job, worker)
    progress = _after(job, worker)
    story = Story(
        kind=job.message.type,
        received_at_ms=job.message.received_at_ms,
        now_ms=worker.now_ms(),
        attempts=progress.attempts,
        total=job.total,
        receives=job.receives,
        refused=job.progress.refused,
        failures=max(
            (progress.failing.get(short(item.key), 0) for item in job.items if item.calls and item.waits),
            default=0,
        ),
    )
    unmapped = [] if job.is_mapped else [None]
    end = end_of([*(item.outcome for item in job.items), *unmapped], story, worker.budgets, worker.rng)
    job.end = await _account(job, end, progress, worker)
    await _remember(job, job.end, progress, worker)


def _held_up(job: Job, age_s: float, worker: Worker) -> End:
    """The end of a message that is not called because its credentials are suspended."""
    suspension = worker.suspensions.of(job.message.account_id, job.carried.fingerprints)
    if job.place is Place.GIVE_UP and suspension is not None:
        return _given_up(suspension, job.progress)
    if age_s > worker.budgets.age_s(job.message.type):
        return DeadLetter(Reason.TOO_OLD, f"its credentials are refused; {age_s / 3_600:.0f} hours old")
    if job.place is Place.PROBE_LATER:
        return Waiting(worker.suspensions.probe_wait_s(suspension), "suspended")
    return Parked()


def _given_up(suspension: Suspension, progress: Progress) -> DeadLetter:
    error = f"HTTP {suspension.status} for its credentials, while newer ones of its account are taken"
    return DeadLetter(Reason.UNAUTHORIZED, error, suspension.status, progress.attempts)


def strike_out(job: Job, worker: Worker) -> None:
    """Refuse the delivery on which the partner failed too often while it took others: what is behind it goes on.

    Not of an erasure, whose age alone ends it: the partner's way to erase may be down while its way in is well.
    """
    if job.message.type == ERASURE:
        return
    for item in job.items:
        outcome = item.outcome
        if outcome is None or outcome.verdict is not Verdict.RETRY or not item.attempts or outcome.status == 429:
            continue
        strikes = job.progress.strikes + (item.attempts if _is_healthy(job, worker) else 0)
        if strikes >= worker.budgets.max_strikes:
            error = f"{outcome.error} {strikes} times, while other calls succeed"
            item.outcome = replace(outcome, verdict=Verdict.REJECTED, error=error)
            job.struck_out = True


def _is_healthy(job: Job, worker: Worker) -> bool:
    """Whether others arrive, and others of this account: then what fails is this message."""
    served = worker.limiters.is_served(job.message.account_id)
    return served and flows.is_healthy(worker.limiters.partner.flow, now_ms=worker.now_ms())


def _after(job: Job, worker: Worker) -> Progress:
    """The job's progress with what this invocation added."""
    done, refused, strikes = [], {}, 0
    healthy = _is_healthy(job, worker)
    for item in job.items:
        if item.outcome is None:
            continue
        if item.outcome.verdict is Verdict.DELIVERED:
            done.append(item.key)
        elif item.outcome.verdict is Verdict.RETRY:
            strikes += item.attempts if healthy and item.outcome.status != 429 else 0
        elif item.outcome.verdict is not Verdict.UNAUTHORIZED:  # which better credentials will mend
            refused[item.key] = item.outcome.error or ""
    progress = job.progress.with_(done=done, refused=refused, attempts=job.calls, strikes=strikes)
    progress = replace(progress, failing=_failing(job))
    if any(map(_is_refused, job.items)):
        progress = replace(progress, denials=progress.denials + job.is_denied_alone, denied_ms=worker.now_ms())
    if job.is_mapped:
        progress = replace(progress, noted=None)
    elif job.receives == 1 or job.progress.noted is not None:
        progress = replace(progress, noted=max(job.looked_at, job.progress.noted or 0))
    return replace(progress, strikes=0) if job.struck_out else progress


def _failing(job: Job) -> dict[str, int]:
    """How often in a row each delivery has failed that waits; what arrived or is refused for good is none of them."""
    counts = {} if job.is_mapped else dict(job.progress.failing)
    for item in job.items:
        key, waits = short(item.key), item.outcome is None or item.outcome.verdict is Verdict.RETRY
        counts[key] = job.progress.failing.get(key, 0) + item.attempts if waits else 0
    return {key: count for key, count in counts.items() if count}


async def _account(job: Job, end: End, progress: Progress, worker: Worker) -> End:
    """What refused credentials mean for a message; clear the suspension whose probe arrived."""
    carried = job.carried
    if carried.account_id is None or (isinstance(end, DeadLetter) and end.reason is Reason.TOO_OLD):
        return end
    held = [item for item in job.items if _is_held(item)]
    if held:
        refused = next((item.outcome for item in held if _is_refused(item)), None)
        suspension = worker.suspensions.of(carried.account_id, [item.fingerprint for item in held])
        if suspension is None:
            return _denied(job, refused, progress, worker)
        if suspension.is_given_up(now_ms=worker.now_ms()) and not carried.was_dead:
            return _given_up(suspension, progress)
        is_probe = suspension.probe_id == carried.message_id
        return Waiting(worker.suspensions.probe_wait_s(suspension), "suspended") if is_probe else Parked()
    taken = [item.fingerprint for item in job.items if item.outcome and item.outcome.verdict is Verdict.DELIVERED]
    suspension = worker.suspensions.of(carried.account_id, taken)
    if suspension is not None and suspension.probe_id == carried.message_id:
        await worker.suspensions.clear(suspension)
    return end


def _denied(job: Job, refused: Outcome | None, progress: Progress, worker: Worker) -> End:
    """The end of a message that its credentials, or another one in the batch that carries them, hold up although they
    are not suspended.
    """
    if refused is None:  # the refusals were the other messages' own
        return Waiting(back_off_s(FEW_FAILURES, retry_after_s=None, rng=worker.rng), "refused", Whose.ACCOUNT_FAILURE)
    if not job.is_denied_alone:  # nobody could be told; or it is known for its own refusals, and nothing came since
        return Waiting(worker.suspensions.probe_wait_s(None), "refused", Whose.ACCOUNT_FAILURE)
    if progress.denials >= worker.budgets.max_denials:
        error = f"{refused.error} {progress.denials} times, while others of its account are taken"
        return DeadLetter(Reason.UNAUTHORIZED, error, refused.status, progress.attempts)
    wait_s = back_off_s(progress.denials, retry_after_s=None, rng=worker.rng)
    return Waiting(wait_s, str(refused.error), Whose.ACCOUNT_FAILURE)


async def _remember(job: Job, end: End, progress: Progress, worker: Worker) -> None:
    """Write progress when something was answered and the message comes back; forget it when it does not."""
    now_s = worker.now_ms() // 1_000
    learnt = progress != job.progress
    try:
        if isinstance(end, Waiting | Parked) and learnt:
            expires_at = now_s + int(worker.budgets.age_s(job.message.type)) + 86_400
            await progresses.write(worker.state, job.message, progress, expires_at=expires_at)
        elif isinstance(end, Delivered) and job.progress.item.rev:
            await progresses.forget(worker.state, job.message)
    except StateUnavailable:
        worker.limiters.trouble()
    except Conflict:
        pass  # SQS delivered it twice at once, and the other worker wrote first


async def remember_letter(job: Job, report: Report, worker: Worker) -> None:
    """What of a dead letter arrived must not be sent again, whether its queue did not take it or somebody redrives it.

    One that was not taken comes back as it was; one that is redriven gets another chance for what was refused.
    """
    if not isinstance(job.end, DeadLetter):
        return
    progress = _after(job, worker)
    if not (progress.done or job.progress.item.rev):
        return
    if job.message_id not in report.failures:
        progress = replace(progress, refused={}, failing={}, strikes=0, denials=0)
    await _remember(job, Waiting(0), progress, worker)


def _is_held(item: Dispatch) -> bool:
    """Whether its credentials, or another delivery that carries them, kept it from being delivered."""
    return _is_refused(item) or (item.outcome is not None and item.outcome.because is Because.SUSPENDED)


def _is_refused(item: Dispatch) -> bool:
    return item.outcome is not None and item.outcome.verdict is Verdict.UNAUTHORIZED
