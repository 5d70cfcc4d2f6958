"""Many requests at once, as when a customer sends a push message to everybody."""

from collections.abc import Iterator, Sequence

from ops.certify.answers import refusals, shapes
from ops.certify.check import Check
from ops.certify.exchange import Ending, Exchange, Sent
from ops.certify.objections import Objection
from ops.certify.script import Script


def _sends(script: Script) -> list[Sent]:
    return script.several("a request of the burst", script.burst)


def _objections(exchanges: Sequence[Exchange], script: Script) -> Iterator[Objection]:
    throttled = [one for one in exchanges if one.answer.ending is Ending.THROTTLED]
    if throttled:
        yield Objection(
            "burst.throttled",
            f"{len(throttled)} of {len(exchanges)} requests that came at once were throttled",
            "raise the function's reserved concurrency and the account's quota: mParticle suggests 1,000 at least;"
            " then answer faster, so that fewer run at once",
        )
    failed = [one for one in exchanges if one.answer.ending is not Ending.THROTTLED]
    yield from refusals(
        failed,
        "burst.failed",
        f"requests that were accepted alone are not when {len(exchanges)} come at once",
        "look for what the executions share: connections, a rate limit, a table. What is only busy answers 429 or 503,"
        " which mParticle tries again for a while",
    )
    yield from shapes(exchanges, script.now_ms)


CHECK = Check("burst", "sends many at once", _sends, _objections, at_once=True)
