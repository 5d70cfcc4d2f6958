"""The usual ways with a 429, as the bench simulates them."""

from dataclasses import replace

from bench.throttled import Throttled, throttled

GIVEN = Throttled(
    environments=1,
    in_flight=10,
    rate_per_s=50,
    latency_s=0.05,
    messages=2_000,
    from_s=0,
    until_s=20,
    backs_off=False,
)


def test_a_partner_that_takes_everything_refuses_nothing() -> None:
    """Ten calls of 50 ms each are 200 a second."""
    done = throttled(replace(GIVEN, rate_per_s=1_000, messages=4_000, until_s=10), seed=1)
    assert (done.taken, done.refused) == (2_000, 0)


def test_never_more_than_the_rate_is_taken() -> None:
    """Whatever is refused comes back, and is refused again."""
    done = throttled(GIVEN, seed=1)
    assert done.taken <= 50 * 20
    assert done.refused > done.taken


def test_a_failed_message_is_away_for_the_visibility_timeout() -> None:
    """All were tried after a second and a half, and until 30 s later the partner is asked nothing."""
    short = replace(GIVEN, messages=300, until_s=29)
    assert throttled(short, seed=1) == throttled(replace(short, until_s=3), seed=1)


def test_backing_off_within_the_invocation_refuses_less() -> None:
    """At the price of an environment that waits."""
    hasty, patient = throttled(GIVEN, seed=1), throttled(replace(GIVEN, backs_off=True), seed=1)
    assert patient.refused / patient.taken < hasty.refused / hasty.taken


def test_only_what_is_after_the_beginning_counts() -> None:
    """Each run begins with a fleet that knows nothing."""
    assert throttled(replace(GIVEN, from_s=19.9), seed=1).taken < 20


def test_the_same_seed_gives_the_same() -> None:
    """Nothing of the machine is in it."""
    given = replace(GIVEN, backs_off=True)
    assert throttled(given, seed=3) == throttled(given, seed=3)
