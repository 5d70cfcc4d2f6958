import pytest

from ops.local.partner_api import Behaviour, LoopbackPartner, Reply
from tests.fakes.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_partner_without_limits_takes_everything(clock: Clock) -> None:
    """The default behaviour answers 200, however many calls come at once."""
    api = LoopbackPartner(Behaviour(), clock=clock)
    assert [api.judge().status for _ in range(1000)] == [200] * 1000


def test_the_burst_is_taken_and_the_rest_refused(clock: Clock) -> None:
    """Calls at one moment beyond the burst get 429, with the whole seconds until there is room again."""
    api = LoopbackPartner(Behaviour(rate_per_s=2, burst=3), clock=clock)
    assert [api.judge() for _ in range(5)] == [Reply(200)] * 3 + [Reply(429, 1)] * 2


def test_retry_after_is_long_enough(clock: Clock) -> None:
    """A caller that waits as long as it was told is taken."""
    api = LoopbackPartner(Behaviour(rate_per_s=0.25, burst=1), clock=clock)
    assert api.judge().status == 200
    refused = api.judge()
    assert refused == Reply(429, 4)
    clock.now_s += refused.retry_after_s or 0
    assert api.judge().status == 200


def test_the_rate_holds_over_time(clock: Clock) -> None:
    """Over ten seconds of ten times too many calls, the partner takes its rate and the burst, no more and no less."""
    api = LoopbackPartner(Behaviour(rate_per_s=50, burst=50), clock=clock)
    taken = 0
    for _ in range(10 * 512):
        clock.now_s += 1 / 512  # exact in binary
        taken += api.judge().status == 200
    assert taken == 50 + 10 * 50 - 1  # the first step finds the bucket full


def test_unused_rate_is_not_saved_up(clock: Clock) -> None:
    """After an hour of silence there is one burst, not an hour's worth."""
    api = LoopbackPartner(Behaviour(rate_per_s=10, burst=10), clock=clock)
    clock.now_s += 3600
    assert sum(api.judge().status == 200 for _ in range(100)) == 10


def test_strictly_no_second_holds_more_than_the_rate(clock: Clock) -> None:
    """Wherever a second begins it holds the rate and no more, and Retry-After can be fixed."""
    api = LoopbackPartner(Behaviour(rate_per_s=3, strict=True, retry_after_s=7), clock=clock)
    seen = []
    for step_s in (0.0, 0.4, 0.4, 0.125, 0.125, 0.125):  # at 0, 0.4, 0.8, 0.925, 1.05, 1.175
        clock.now_s += step_s
        seen.append(api.judge())
    assert seen == [Reply(200)] * 3 + [Reply(429, 7), Reply(200), Reply(429, 7)]


def test_one_accounts_flood_is_refused_alone(clock: Clock) -> None:
    """An account above its own rate gets 429, and takes nothing of what the others may."""
    api = LoopbackPartner(Behaviour(rate_per_s=10, account_rate_per_s=2), clock=clock)
    flood = [api.judge(account_id="1").status for _ in range(20)]
    assert flood == [200] * 2 + [429] * 18
    assert [api.judge(account_id="2").status for _ in range(2)] == [200] * 2
    assert [api.judge().status for _ in range(7)] == [200] * 6 + [429]


def test_an_event_can_have_an_answer_of_its_own(clock: Clock) -> None:
    """It gets that status whenever it comes, and the others theirs."""
    api = LoopbackPartner(Behaviour(answers={"bad": 400, "broken": 500}), clock=clock)
    assert [api.judge(event_id=one).status for one in ("bad", "good", "broken", "bad")] == [400, 200, 500, 400]
    assert (api.ledger.rejected, len(api.ledger.failed_s)) == (2, 1)


def test_it_behaves_otherwise_from_a_new_beginning(clock: Clock) -> None:
    """A limit that comes with the beginning holds from there on."""
    api = LoopbackPartner(Behaviour(), clock=clock)
    assert [api.judge().status for _ in range(5)] == [200] * 5
    api.begin(Behaviour(rate_per_s=2))
    assert [api.judge().status for _ in range(5)] == [200] * 2 + [429] * 3


def test_failures_come_at_their_rate_and_the_same_for_a_seed(clock: Clock) -> None:
    """A share of the calls fails with 500; the same seed fails the same calls, another seed fails others."""

    def failures(seed: int) -> list[int]:
        api = LoopbackPartner(Behaviour(failure_rate=0.2, seed=seed), clock=clock)
        return [api.judge().status for _ in range(2000)]

    assert 300 < failures(1).count(500) < 500
    assert failures(1) == failures(1)
    assert failures(1) != failures(2)


def test_an_outage_has_a_beginning_and_an_end(clock: Clock) -> None:
    """Everything in the window gets 503, counted from `begin`; before and after it nothing does."""
    api = LoopbackPartner(Behaviour(outages=((5, 10), (20, 21))), clock=clock)
    clock.now_s += 1000
    api.begin()
    seen = []
    for _ in range(25):
        seen.append(api.judge().status)
        clock.now_s += 1
    down = [second for second, status in enumerate(seen) if status == 503]
    assert down == [5, 6, 7, 8, 9, 20]


def test_a_call_without_the_token_is_turned_away(clock: Clock) -> None:
    """A wrong or missing bearer token gets 401 and costs nothing of the rate."""
    api = LoopbackPartner(Behaviour(token="right", rate_per_s=1, burst=1), clock=clock)
    assert [api.judge(header).status for header in ("", "Bearer wrong", "right")] == [401, 401, 401]
    assert api.judge("Bearer right").status == 200
    assert api.ledger.unauthorized == 3


def test_the_ledger_tells_deliveries_from_duplicates(clock: Clock) -> None:
    """Each event counts once as delivered, however often it arrives, and each time it arrives again as a duplicate."""
    api, start_s = LoopbackPartner(Behaviour(), clock=clock), clock.now_s
    for event_id in ("a", "b", "a", "a", None):
        clock.now_s += 1
        api.accept(event_id)
    assert (api.ledger.delivered, api.ledger.duplicates, api.ledger.others) == (2, 2, 1)
    assert api.ledger.arrivals == {"a": [start_s + 1, start_s + 3, start_s + 4], "b": [start_s + 2]}


def test_a_new_beginning_forgets_the_old_one(clock: Clock) -> None:
    """What a warm-up delivered is not counted; whoever still holds the old ledger sees it unchanged."""
    api = LoopbackPartner(Behaviour(), clock=clock)
    api.accept("a")
    before = api.ledger
    api.begin()
    api.accept("b")
    assert list(before.arrivals) == ["a"]
    assert list(api.ledger.arrivals) == ["b"]
