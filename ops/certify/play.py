"""Plays the checks against a target, one after the other, within a time, and collects what they object to."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from ops.certify.answer_times import Series, Times
from ops.certify.check import Check
from ops.certify.checks import BURST, CHECKS, REGISTRATION, TIMES
from ops.certify.exchange import Answer, Ending, Exchange, Sent, Token
from ops.certify.objections import Objection, findings
from ops.certify.script import Registered, Script
from ops.certify.targets import Target, TargetUnavailable, rule_ms
from ops.console.findings import Finding, Severity
from ops.registration.check import read_response

BUDGET_S = 120.0
"""When this time is used up, no check begins or goes on."""
_UNAUTHORIZED = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of the run, made when the registration was answered and before any data is sent."""

    registered: Registered
    checks: tuple[Check, ...]
    requests: int


@dataclass(frozen=True, slots=True)
class Played:
    """One check of a run, and what it objects to.

    `accepted` are answers that are no errors; no malformed or forbidden request should be among them.
    """

    name: str
    requests: int
    accepted: int
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Result:
    findings: list[Finding]
    times: Times
    checks: list[Played]


TellProgress = Callable[[str, int], object]
"""Called with what is being done, and how many requests were answered since the last call."""


@dataclass(slots=True)
class Player:
    """One run. `clock` counts seconds and is only used for the budget; `checks` are what the user chose."""

    target: Target
    script: Script
    limit_ms: float
    clock: Callable[[], float]
    checks: Sequence[Check] = CHECKS
    progress: TellProgress = lambda _says, _answered: None
    budget_s: float = BUDGET_S
    _objections: list[Objection] = field(default_factory=list)
    _exchanges: dict[str, list[Exchange]] = field(default_factory=dict)
    _played: dict[str, Played] = field(default_factory=dict)
    _deadline_s: float = 0.0
    _cut_short: bool = False

    def register(self) -> Plan:
        """Ask for the registration, and plan the rest by it. Raises TargetUnavailable."""
        self._deadline_s = self.clock() + self.budget_s
        self.progress(REGISTRATION.says, 0)
        if not self.target.qualified:
            self._objections.append(_unqualified())
        (sent,) = REGISTRATION.sends(self._script_of(REGISTRATION))
        exchanges = [Exchange(sent, self.target.send(sent))]
        if exchanges[0].answer.status in _UNAUTHORIZED and self.script.has_token:
            # An integration that wants a token even for the registration is at fault, but can still be checked.
            again = replace(sent, token=Token.RIGHT)
            exchanges.append(Exchange(again, self.target.send(again)))
        self._note(REGISTRATION, exchanges)
        exchange = exchanges[-1]
        found = exchange.answer.json()
        if exchange.accepted and isinstance(found, dict):
            read, _ = read_response(found)
            if read is not None:
                self.script = replace(self.script, registered=Registered.of(read))
        planned = [(check, len(check.sends(self._script_of(check)))) for check in self.checks]
        wanted = tuple(check for check, count in planned if count)
        return Plan(self.script.registered, wanted, sum(count for _, count in planned))

    def play(self, plan: Plan) -> Result:
        """Play everything that is planned. Raises TargetUnavailable if nothing may be sent at all."""
        for check in plan.checks:
            if self._is_late():
                break
            self.progress(check.says, 0)
            exchanges = self._at_once(check) if check.at_once else self._in_turn(check)
            self._need_authorization(exchanges)
            self._note(check, exchanges)
            if check.teaches:
                self._learn(exchanges)
        times = Times(
            self.limit_ms,
            self.target.round_trip_ms(),
            warm=Series.of(self._exchanges.get(TIMES.name, [])),
            cold=Series.of(self._exchanges.get(BURST.name, [])),
            rule_ms=rule_ms(self.target),
        )
        self._object(TIMES, list(times.too_slow()))
        self._object(BURST, list(times.slow_to_start()))
        if self._cut_short:
            self._objections.append(_out_of_time(self.budget_s))
        return Result(findings(self._objections), times, list(self._played.values()))

    def _is_late(self) -> bool:
        """Whether checks are left out because the time is up."""
        self._cut_short = self._cut_short or self.clock() > self._deadline_s
        return self._cut_short

    def _in_turn(self, check: Check) -> list[Exchange]:
        exchanges = []
        for sent in check.sends(self._script_of(check)):
            if self._is_late():
                break
            exchanges.append(self._exchange(sent))
            self.progress(check.says, 1)
        return exchanges

    def _at_once(self, check: Check) -> list[Exchange]:
        sent = check.sends(self._script_of(check))
        if not sent:
            return []
        exchanges = []
        with ThreadPoolExecutor(len(sent)) as threads:
            for exchange in threads.map(self._exchange, sent):
                exchanges.append(exchange)
                self.progress(check.says, 1)
        return exchanges

    def _script_of(self, check: Check) -> Script:
        return replace(self.script, check=check.name)

    def _exchange(self, sent: Sent) -> Exchange:
        try:
            return Exchange(sent, self.target.send(sent))
        except TargetUnavailable:  # it was there a moment ago
            return Exchange(sent, Answer(Ending.NO_ANSWER, 0, b"", 0.0))

    def _note(self, check: Check, exchanges: list[Exchange]) -> None:
        self._exchanges[check.name] = exchanges
        self._played[check.name] = Played(check.name, len(exchanges), sum(one.accepted for one in exchanges), [])
        self._object(check, list(check.objections(exchanges, self.script)))

    def _object(self, check: Check, objections: list[Objection]) -> None:
        if objections:
            self._objections += objections
            self._played[check.name].findings.extend(findings(objections))

    def _learn(self, exchanges: Sequence[Exchange]) -> None:
        """Keep an accepted request of each kind, and note the kinds of which none was accepted."""
        taken = {one.sent.kind: one.sent.request for one in reversed(exchanges) if one.accepted}
        kinds = {one.sent.kind for one in exchanges}
        self.script = replace(
            self.script,
            taken={**taken, **self.script.taken},
            refused=self.script.refused | (kinds - taken.keys() - self.script.taken.keys()),
        )

    def _need_authorization(self, exchanges: Sequence[Exchange]) -> None:
        """Give up if all requests of the first check are refused for lack of a token."""
        first = self._exchanges.keys() == {REGISTRATION.name}
        right = [one for one in exchanges if one.sent.token is Token.RIGHT and one.sent.kind]
        if first and right and self.script.http and all(one.answer.status in _UNAUTHORIZED for one in right):
            wants = (
                "does not take this SPILLWAY_TOKEN" if self.script.has_token else "wants a token: set SPILLWAY_TOKEN"
            )
            raise TargetUnavailable(f"{self.target.name} {wants}")


def _unqualified() -> Objection:
    return Objection(
        "target.unqualified",
        "this ARN names a function, not an alias: mParticle would get the newest code with each deploy",
        "give mParticle the ARN of an alias, which you move when a version has shown that it works",
        severity=Severity.WARNING,
    )


def _out_of_time(budget_s: float) -> Objection:
    return Objection(
        "run.out_of_time",
        f"the run was ended after {budget_s:.0f} s, with checks left over",
        "mend what is slow first; --only and --skip play a part of the checks",
    )
