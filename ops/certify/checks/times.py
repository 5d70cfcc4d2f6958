"""Answer times as mParticle's rule has them: 99% of calls within its limit, or the integration is not approved."""

from collections.abc import Iterator, Sequence

from ops.certify.answers import refusals, shapes
from ops.certify.check import Check
from ops.certify.exchange import Exchange, Sent
from ops.certify.objections import Objection
from ops.certify.script import Script


def _sends(script: Script) -> list[Sent]:
    """One after the other, so that a warm execution environment is measured."""
    return script.several("a request on its own", script.calls)


def _objections(exchanges: Sequence[Exchange], script: Script) -> Iterator[Objection]:
    yield from refusals(
        exchanges, "times.refused", "a request like one that was accepted is not", "look for what fails now and then"
    )
    yield from shapes(exchanges, script.now_ms)


CHECK = Check("times", "measures answer times", _sends, _objections)
