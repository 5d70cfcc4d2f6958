"""A run is bounded, is honest about what it left out, and knows when nothing can be said."""

import itertools
from typing import Any

import pytest

from ops.certify.answer_times import Series, Times
from ops.certify.checks import CHECKS
from ops.certify.exchange import Answer, Ending, Exchange, Sent
from ops.certify.objections import Objection, findings
from ops.certify.play import Player
from ops.certify.run import chosen_checks
from ops.certify.script import Script
from ops.certify.targets import LambdaTarget, TargetUnavailable, UrlTarget
from ops.console.findings import Severity
from shared.errors import InvalidSettings


def answered(*times_ms: float) -> list[Exchange]:
    return [Exchange(Sent("x", b"{}"), Answer(Ending.ANSWERED, 200, b"{}", ms)) for ms in times_ms]


def test_a_run_ends_when_its_time_is_up(target: Any, play: Any) -> None:
    """Each reading of the clock is ten seconds later: some checks are played, the others are said to be left out."""
    ticks = itertools.count(step=10)
    result = play(target(), clock=lambda: next(ticks))
    assert [one.id for one in result.findings] == ["run.out_of_time"]
    assert len(result.checks) < len(CHECKS)


def test_what_hangs_each_time_cannot_hold_the_run(target: Any) -> None:
    """A function that takes 20 s for everything is left after the budget, not after an hour."""
    now_s = 0.0

    class Hanging(target):  # type: ignore[misc]
        def send(self, sent: Sent) -> Answer:
            nonlocal now_s
            now_s += 20
            return Answer(Ending.TIMED_OUT, 0, b"", 20_000)

    player = Player(Hanging(), Script(), 200.0, lambda: now_s, CHECKS)
    result = player.play(player.register())
    assert now_s <= 120 + 20 + 20
    assert {"registration.refused", "run.out_of_time"} <= {one.id for one in result.findings}


def test_what_is_planned_is_what_is_sent(target: Any) -> None:
    """The number that is announced before anything is sent holds."""
    played = target()
    player = Player(played, Script(now_ms=1_790_000_000_000, calls=5, burst=3), 200.0, lambda: 0.0, CHECKS)
    plan = player.register()
    assert len(played.sent) == 1
    result = player.play(plan)
    assert len(played.sent) == plan.requests + 1 == sum(one.requests for one in result.checks)


def test_progress_is_told_for_each_answer(target: Any) -> None:
    """As many steps as requests, and what is being done in words."""
    steps: list[tuple[str, int]] = []
    player = Player(target(), Script(calls=5, burst=3), 200.0, lambda: 0.0, CHECKS)
    plan = player.register()
    player.progress = lambda says, answered: steps.append((says, answered))
    player.play(plan)
    assert sum(answered for _, answered in steps) == plan.requests
    assert {says for says, _ in steps} == {check.says for check in CHECKS if check.name != "http"}


def test_what_goes_away_amid_a_run_is_a_finding(target: Any) -> None:
    """Once it has answered, a target that cannot be reached is at fault itself."""

    class Dying(target):  # type: ignore[misc]
        def send(self, sent: Sent) -> Answer:
            if len(self.sent) > 30:
                raise TargetUnavailable("gone")
            return super().send(sent)  # type: ignore[no-any-return]

    player = Player(Dying(), Script(now_ms=1_790_000_000_000), 200.0, lambda: 0.0, CHECKS)
    result = player.play(player.register())
    refused = [one for one in result.findings if one.severity is Severity.ERROR]
    assert refused
    assert all("the connection broke" in one.message or "100%" in one.message for one in refused)


def test_an_arn_without_an_alias_is_warned_of(target: Any, play: Any) -> None:
    """It passes all the same."""
    played = target()
    played.qualified = False
    (finding,) = play(played).findings
    assert (finding.id, finding.severity) == ("target.unqualified", Severity.WARNING)


@pytest.mark.parametrize(
    ("slow", "found"),
    [(1, []), (2, ["times.p99"])],
)
def test_one_slow_answer_in_a_hundred_is_within_the_rule(slow: int, found: list[str]) -> None:
    """99% under the limit; two in a hundred are not."""
    times = Times(200.0, 0.0, warm=Series.of(answered(*[10.0] * (100 - slow), *[900.0] * slow)))
    assert [one.id for one in times.too_slow()] == found


def test_the_network_is_taken_off_before_the_rule_is_applied() -> None:
    """230 ms over a line of 40 ms are within 200 ms; an unknown line is not taken off."""
    warm = Series.of(answered(*[230.0] * 100))
    assert list(Times(200.0, 40.0, warm=warm).too_slow()) == []
    assert [one.id for one in Times(200.0, None, warm=warm).too_slow()] == ["times.p99"]


def test_slow_starts_are_a_warning() -> None:
    """mParticle has no rule for them."""
    (objection,) = Times(200.0, 0.0, cold=Series.of(answered(1_500.0, 1_600.0))).slow_to_start()
    assert (objection.id, objection.severity) == ("times.cold", Severity.WARNING)


def test_what_was_not_accepted_has_no_answer_time() -> None:
    """A quick refusal does not make an integration quick."""
    refused = Exchange(Sent("x", b""), Answer(Ending.REFUSED, 500, b"", 1.0))
    assert Series.of([refused]) is None


def test_one_objection_to_many_answers_is_one_finding() -> None:
    """Three are named, the rest counted; the order is that in which they were raised."""
    said = [Objection("a", "no id", "mend it", to=f"request {n}") for n in range(5)]
    first, second = findings([*said, Objection("b", "late", "hurry")])
    assert first.message == "no id: request 0; request 1; request 2 and 2 more"
    assert (second.id, second.message) == ("b", "late")


def test_checks_are_chosen_by_name() -> None:
    """--only and --skip, in the order of the checks; a name that there is not is said with those that there are."""
    assert [check.name for check in chosen_checks(["times", "probes"], [])] == ["probes", "times"]
    assert "size" not in {check.name for check in chosen_checks([], ["size"])}
    with pytest.raises(InvalidSettings, match=r"there is no check speed: .* take probes, events"):
        chosen_checks([], ["speed"])


@pytest.mark.parametrize(
    ("arn", "qualified"),
    [
        ("arn:aws:lambda:us-east-1:123456789012:function:ingest:production", True),
        ("arn:aws-cn:lambda:cn-north-1:123456789012:function:ingest:7", True),
        ("arn:aws:lambda:us-east-1:123456789012:function:ingest", False),
        ("arn:aws:lambda:us-east-1:123456789012:function:ingest:$LATEST", False),
    ],
)
def test_an_arn_is_an_alias_or_is_not(arn: str, qualified: bool) -> None:
    """$LATEST and no qualifier are the newest code."""
    assert LambdaTarget(arn).qualified is qualified


@pytest.mark.parametrize("arn", ["arn:aws:sqs:us-east-1:123456789012:q", "arn:aws:lambda:us-east-1:1:function:x"])
def test_what_is_no_function_is_refused(arn: str) -> None:
    """With what it should be."""
    with pytest.raises(InvalidSettings, match="must be the ARN of a function's alias"):
        LambdaTarget(arn)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://partner.example/", "https URL"),
        ("ingest", "https URL"),
        ("https://user:canary@partner.example/", "must not hold credentials"),
    ],
)
def test_a_url_that_may_not_be_is_refused(url: str, said: str) -> None:
    """Plain HTTP only on loopback; credentials are neither taken nor shown."""
    with pytest.raises(InvalidSettings, match=said) as error:
        UrlTarget(url)
    assert "canary" not in str(error.value)
