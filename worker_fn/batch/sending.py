"""Sending a batch: round by round, as far as it is mapped at a time; nearly always that is one round."""

from collections.abc import Callable
from functools import partial

from worker_fn.accounts.auth_failures import AuthFailures
from worker_fn.batch.context import Worker
from worker_fn.batch.facts import tell_attempt
from worker_fn.batch.placing import place
from worker_fn.batch.rounds import Rounds
from worker_fn.dispatch.caller import Caller
from worker_fn.dispatch.dispatcher import Dispatcher
from worker_fn.dispatch.feedback import Feedback
from worker_fn.dispatch.lanes import Lane


async def send(rounds: Rounds, dispatcher: Dispatcher, worker: Worker) -> None:
    """Send the deliveries that are mapped, and map the rest."""
    lanes = await _next_lanes(rounds, worker)
    await dispatcher.deliver(lanes)
    while lanes:
        rounds.clear()
        if lanes := await _next_lanes(rounds, worker):
            await dispatcher.deliver(lanes)
    rounds.end()


async def _next_lanes(rounds: Rounds, worker: Worker) -> list[Lane]:
    """The deliveries of the next round; none when there is nothing more to send, or no time."""
    while not (lanes := rounds.lanes()):  # nothing is left of the mapped ones: sent at an earlier receive, or held up
        await rounds.map()
        if not await place(rounds.jobs, worker):
            return rounds.lanes()
        rounds.let_go()
    return lanes


def dispatcher_for(worker: Worker, remaining_s: Callable[[], float]) -> Dispatcher:
    """The dispatcher that sends a batch's deliveries, within the time for its calls."""
    limits, sessions = worker.partner.limits, worker.limiters.sessions()
    caller = Caller(
        partner=worker.partner,
        send=worker.send,
        limiters=sessions,
        feedback=Feedback(sessions.partner, worker.outliers, limits.rate_headers, now_ms=worker.now_ms, log=worker.log),
        held=worker.held,
        auth_failures=AuthFailures(),
        max_in_flight=worker.max_in_flight,
        attempts=worker.attempts,
        call_timeout_s=worker.call_timeout_s,
        remaining_s=remaining_s,
        now_ms=worker.now_ms,
        log=worker.log,
        tell=partial(tell_attempt, worker),
        tells_all=worker.tells_ids,
    )
    return Dispatcher(
        caller,
        jitter=lambda bound: worker.rng.uniform(0, bound),
        in_order=worker.partner.in_order or worker.in_groups,
    )
