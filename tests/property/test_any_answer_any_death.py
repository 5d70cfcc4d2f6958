"""Any answer, any death: every event is delivered, waiting or dead-lettered with a reason."""

from dataclasses import dataclass, replace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from testkit.simulation.partner import Api
from testkit.simulation.run import Run, simulate
from testkit.simulation.scenario import ApiModel, Fleet, Scenario, Traffic
from worker_fn.batch.disposition import Reason
from worker_fn.clients.http import Answer

TAKEN = frozenset(range(200, 300))


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, whether the partner took the call for all that, and after how many seconds it comes."""

    answer: Answer
    took_it: bool
    after_s: float


statuses = st.one_of(
    st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503]), st.integers(200, 599)
)
retry_after = st.one_of(
    st.none(),
    st.sampled_from(["0", "3", "90", "100000", "99999999999", "-1", "soon", "", "Wed, 21 Oct 2026 07:28:00 GMT", "٣"]),
)
bodies = st.sampled_from([b"", b"ok", b"bad", b"ok ok", b"ok bad ok", b"\xff\xfe", b"ok" * 400])
answers = st.builds(
    Said,
    answer=st.one_of(
        st.builds(Answer, status=statuses, retry_after=retry_after, body=bodies),
        st.builds(Answer, fault=st.sampled_from(["timeout", "connection"])),
    ),
    took_it=st.booleans(),
    after_s=st.sampled_from([0.01, 0.3, 5.0, 12.9, 40.0]),
)
scenarios = st.builds(
    lambda events, bulk, by_item, bulk_rate, ordered, rate, fifo, concurrency: Scenario(
        name="any",
        title="any",
        ends_s=1_800,
        traffic=(
            Traffic(accounts=(1, 2), rate_per_s=2, until_s=4, events=events, users=2 if fifo else 0),
            Traffic(accounts=(3,), rate_per_s=1, from_s=60, until_s=62, events=1),
        ),
        partner=ApiModel(
            bulk_items=bulk,
            bulk_rate_per_s=bulk_rate,
            per_item_answers=by_item,
            in_order=ordered,
            rate_per_s=rate,
        ),
        fleet=Fleet(max_concurrency=concurrency, max_in_flight=3, batch_size=10, max_age_s=900, fifo=fifo),
    ),
    events=st.integers(1, 4),
    bulk=st.sampled_from([0, 0, 3]),
    by_item=st.booleans(),
    bulk_rate=st.sampled_from([None, None, 2.0]),
    ordered=st.booleans(),
    rate=st.sampled_from([None, 20.0]),
    fifo=st.booleans(),
    concurrency=st.integers(2, 3),
)


def run_with(scenario: Scenario, said: list[Said], dies_at: int | None, seed: int) -> Run:
    """Run it with a partner that gives these answers, one after the other and then again."""
    count = iter(range(1_000_000))

    class Anything(Api):
        def _judge(self, account: int, lines: list[tuple[int, str, str]], key: str) -> tuple[Answer, float, str]:
            one = said[next(count) % len(said)]
            took_it = one.answer.status in TAKEN or (one.answer.status is None and one.took_it)
            return one.answer, one.after_s, "accepted" if took_it else "fault"

    return simulate(scenario, seed, dies_at_step=dies_at, api=Anything)


@settings(max_examples=120)
@given(
    scenario=scenarios,
    said=st.lists(answers, min_size=1, max_size=6),
    dies_at=st.one_of(st.none(), st.integers(1, 400)),
    seed=st.integers(0, 1_000),
)
def test_every_event_has_its_end(scenario: Scenario, said: list[Said], dies_at: int | None, seed: int) -> None:
    """Each event was taken by the partner, or its message is in the queue, parked, or a dead letter that says why."""
    run = run_with(scenario, said, dies_at, seed)
    truth, queues = run.world.truth, run.queues
    dead = {letter.sent.id: letter for letter in queues.dead}
    somewhere = (
        {held.sent.id for held in queues.waiting()} | {held.sent.id for held in queues.parked.values()} | set(dead)
    )
    lost = [
        item
        for sent in truth.sent.values()
        if sent.id not in somewhere
        for item in sent.items
        if item not in truth.accepted
    ]
    assert lost == []
    assert run.deployment.crashes == []
    for letter in queues.dead:
        assert letter.attributes["reason"] in set(Reason)
        assert letter.attributes["error"]
        assert letter.attributes["partner"] == "simulated"
    assert truth.timeouts == 0
    event(f"dead letters: {bool(dead)}, deaths: {truth.deaths}, waiting: {bool(set(somewhere) - set(dead))}")


@settings(max_examples=40)
@given(scenario=scenarios, seed=st.integers(0, 1_000), dies_at=st.integers(1, 200))
def test_willing_partner_gets_everything(scenario: Scenario, seed: int, dies_at: int) -> None:
    """A partner that takes every call gets every event, whoever died on the way; nothing is dead-lettered."""
    scenario = replace(scenario, partner=replace(scenario.partner, per_item_answers=False))
    run = run_with(scenario, [Said(Answer(200), took_it=True, after_s=0.05)], dies_at, seed)
    items = {item for sent in run.world.truth.sent.values() for item in sent.items}
    assert set(run.world.truth.accepted) == items
    assert run.queues.dead == []
    assert run.queues.is_empty
