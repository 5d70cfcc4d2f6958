"""`spillway certify`: play mParticle against a deployed integration, and show what it would object to.

Exit status 0: no objection is an error. 1: one is. 2: it could not judge, raised as SpillwayError.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

from ops.certify import report
from ops.certify.check import Check
from ops.certify.checks import CHECKS
from ops.certify.play import Player
from ops.certify.script import Script
from ops.certify.targets import Target, rule_ms, target_of
from ops.console import findings as form
from ops.console.screen import Screen
from ops.console.terminal import INTERRUPTED, say_json
from shared.errors import InvalidSettings


def run(
    target: str,
    *,
    token: str = "",
    settings: Mapping[str, str],
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    burst: int = 10,
    calls: int = 100,
    max_ms: float | None = None,
    seed: int | None = None,
    as_json: bool = False,
) -> int:
    """Certify a target; returns the exit status. Raises InvalidSettings and TargetUnavailable."""
    chosen = chosen_checks(only, skip)
    found = target_of(target, token=token, connections=burst)
    script = Script(
        settings=settings,
        seed=int(time.time()) % 10_000 if seed is None else seed,
        now_ms=int(time.time() * 1000),
        http=found.speaks_http,
        has_token=found.has_token,
        calls=calls,
        burst=burst,
    )
    return certify(found, script, chosen, max_ms=max_ms, as_json=as_json)


def certify(
    target: Target, script: Script, checks: Sequence[Check], *, max_ms: float | None = None, as_json: bool = False
) -> int:
    """Certify the target; returns the exit status. Raises TargetUnavailable."""
    # What a tool reads on standard output is the report alone.
    console, aside = Screen(), Screen(stderr=True)
    player = Player(target, script, max_ms or rule_ms(target), time.monotonic, checks)
    try:
        plan = player.register()
        report.announce(aside if as_json else console, target.name, plan, script)
        with report.progress(aside, plan.requests) as player.progress:
            result = player.play(plan)
    except KeyboardInterrupt:
        aside.print("spillway certify: stopped")
        return INTERRUPTED
    if as_json:
        say_json(report.as_json(result, target.name, script))
    else:
        report.show(console, result)
    return form.exit_status(result.findings)


def chosen_checks(only: Iterable[str], skip: Iterable[str]) -> tuple[Check, ...]:
    """The checks that are played, in their order. Raises InvalidSettings for an unknown name."""
    only, skip = set(only), set(skip)
    names = [check.name for check in CHECKS]
    for name in sorted(only | skip):
        if name not in names:
            raise InvalidSettings(f"there is no check {name}: --only and --skip take {', '.join(names)}")
    return tuple(check for check in CHECKS if check.name not in skip and (not only or check.name in only))
