"""What an answer says about each item of its call, if its body names them and the partner's code can read it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from partners import Partner, Result
from worker_fn.clients.http import Answer
from worker_fn.dispatch.classify import Outcome, Verdict
from worker_fn.dispatch.lanes import Dispatch


def item_results(
    partner: Partner,
    items: Sequence[Dispatch],
    answer: Answer,
    outcome: Outcome,
    *,
    attempts: int,
    log: Callable[..., None],
) -> Outcome:
    """The outcome of a call, with each item's own outcome if the answer names items.

    An item may be sent again at most `attempts` times because of another item of its call.
    """
    arrived = outcome.verdict is Verdict.DELIVERED
    if not answer.is_whole:  # half an answer is not enough to judge its items
        log("an answer could not be read to its end: its status decides", status=outcome.status)
    says_nothing = not answer.is_whole or not (arrived or answer.body)
    if answer.status is None or says_nothing or outcome.verdict is Verdict.UNAUTHORIZED:
        return outcome
    try:
        said = partner.read_response([item.delivery for item in items], answer.status, answer.body)
        if said is None:
            return outcome
        results = [Result(result) for result in said]
        problem = _contradiction(results, outcome, len(items))
    except Exception as error:  # a partner's code may raise anything, and return anything
        results, problem = [], f"{type(error).__name__} in read_response"
    if problem and arrived:
        return Outcome(Verdict.UNREADABLE, outcome.status, problem)
    if problem:  # a proxy's error page, say: nothing arrived, and the status decides
        log("an answer could not be told apart", status=outcome.status, error=problem)
        return outcome
    if Result.UNAUTHORIZED in results:
        refused = Outcome(Verdict.UNAUTHORIZED, outcome.status, f"unauthorized inside HTTP {outcome.status}")
        return replace(refused, items=(refused,) * len(items))  # each would be refused alone, too
    names_nobody = set(results) == {Result.AGAIN}  # to send all of them again would be the same call
    return replace(
        outcome,
        items=tuple(
            None
            if result is Result.AGAIN and not names_nobody and len(item.again) < attempts
            else _judged(result, outcome)
            for item, result in zip(items, results, strict=True)
        ),
    )


def _contradiction(results: Sequence[Result], outcome: Outcome, count: int) -> str | None:
    """What is wrong with the results that a partner read from an answer."""
    if len(results) != count:
        return "read_response gave another number of results"
    if outcome.verdict is Verdict.RETRY and not set(results) <= {Result.RETRY, Result.AGAIN}:
        return f"read_response finds more than RETRY and AGAIN in HTTP {outcome.status}"
    return None


def _judged(result: Result, outcome: Outcome) -> Outcome:
    if result is Result.DELIVERED:
        return Outcome(Verdict.DELIVERED, outcome.status)
    verdict = Verdict.REJECTED if result is Result.REJECTED else Verdict.RETRY
    error = f"{result.value} inside HTTP {outcome.status}"
    return Outcome(verdict, outcome.status, error, outcome.retry_after_s, is_of_item=True)
