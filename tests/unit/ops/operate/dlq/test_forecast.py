import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ops.operate.dlq.forecast import Deployed, Fate, Forecast, Forecaster, partner_of
from ops.operate.dlq.letters import Letter
from ops.operate.dlq.plan import Plan
from shared.errors import StateUnavailable
from shared.state import SUSPENDED, Item, progress_key
from testkit.state import MemoryState
from tests.unit.ops.operate.dlq.conftest import PARTNER

MakeBody = Callable[..., str]


def state(rows: Mapping[tuple[str, str], Any] | None = None) -> MemoryState:
    made = MemoryState()
    for (key, sk), value in (rows or {}).items():
        asyncio.run(made.swap(key, sk, Item(), value, expires_at=None))
    return made


def letter(body: str, **said: str) -> Letter:
    return Letter("i", body, {name: {"DataType": "String", "StringValue": value} for name, value in said.items()})


def forecast(body: str, rows: Mapping[tuple[str, str], Any] | None = None, **said: str) -> Forecast:
    (found,) = Forecaster(partner_of(PARTNER), state(rows)).of([letter(body, **said)])
    return found


def test_a_letter_that_is_mapped_would_be_sent(body: MakeBody) -> None:
    events = [{"type": "custom_event", "id": f"e{number}"} for number in range(3)]
    assert forecast(body(events=events)) == Forecast(Fate.SENT, 3)


def test_a_letter_of_which_something_arrived_resumes(body: MakeBody) -> None:
    """Only if something did; one of which no call was made is not looked up."""
    key = progress_key("7", "r1"), "1/1"
    assert forecast(body(), {key: {"done": "AAAA"}}, attempts="2").fate is Fate.RESUMES
    assert forecast(body(), {key: {"done": ["aa"]}}).fate is Fate.RESUMES
    assert forecast(body(), {key: {"done": "", "refused": {}}}, attempts="2").fate is Fate.SENT
    assert forecast(body(), {key: {"done": "AAAA"}}, attempts="0").fate is Fate.SENT


def test_a_letter_whose_credentials_are_suspended_waits(body: MakeBody) -> None:
    """Those of another account, or other ones of its own, are no matter."""

    def suspended(account: str, mark: str) -> Mapping[tuple[str, str], Any]:
        value = {"account_id": account, "status": 401, "since_ms": 1, "fingerprint": mark, "probe_id": "p"}
        return {(SUSPENDED, f"{account}#{mark}"): {**value, "probe_at_ms": 1}}

    assert forecast(body(), suspended("7", "*")).fate is Fate.SUSPENDED
    assert forecast(body(), suspended("7", "another")).fate is Fate.SENT
    assert forecast(body(), suspended("8", "*")).fate is Fate.SENT


@pytest.mark.parametrize("text", ["", "{", "x", '{"v": 99}', '{"type": "event_processing_request", "events": []}'])
def test_a_letter_that_nobody_can_read_would_come_back(text: str) -> None:
    """A bare request of mParticle's, too: the worker takes none from a queue."""
    found = forecast(text)
    assert found.fate is Fate.UNREADABLE
    assert found.error


def test_a_letter_that_cannot_be_mapped_would_come_back(body: MakeBody) -> None:
    """What is said of it is the worker's, without anything of the letter."""
    found = forecast(body(account=7, account_settings=1, events=[5]))
    assert found.fate in {Fate.SENT, Fate.NO_CALL}
    bad = forecast(body().replace("CANARY-key", "CANARY\\nkey"))
    assert bad.fate is Fate.UNMAPPABLE
    assert "CANARY" not in bad.error


def test_a_letter_of_which_the_partner_makes_no_call_ends_without_one(body: MakeBody) -> None:
    assert forecast(body(events=[])).fate is Fate.NO_CALL


def test_neighbours_do_not_change_what_is_said(body: MakeBody) -> None:
    """Ten at once are as ten one by one."""
    bodies = [body("a"), "{", body("b", events=[]), body("c").replace("CANARY-key", "a\\nb"), body("d")] * 2
    at_once = Forecaster(partner_of(PARTNER), state()).of([letter(one) for one in bodies])
    assert [one.fate for one in at_once] == [forecast(one).fate for one in bodies]


@pytest.mark.parametrize(
    "env",
    [{"PARTNER": "partners.nowhere"}, {"PARTNER": "partners.webhook", "WEBHOOK_URL": "ftp://CANARY"}, {}],
)
def test_a_partner_that_cannot_be_loaded_here_is_tried_with_nothing(env: Mapping[str, str], body: MakeBody) -> None:
    deployed = partner_of(env)
    assert deployed.partner is None
    assert deployed.problem.startswith("it cannot be loaded here: ")
    assert "CANARY" not in deployed.problem
    assert [one.fate for one in Forecaster(deployed, state()).of([letter(body())])] == [Fate.NOT_TRIED]


def test_where_credentials_are_kept_elsewhere_the_account_decides(body: MakeBody) -> None:
    """They cannot be told apart here: any suspension of the account holds its letters up."""
    stored = {**PARTNER, "WEBHOOK_SECRET_HEADERS": "ssm:/acme/headers"}
    value = {"account_id": "7", "status": 401, "since_ms": 1, "fingerprint": "x", "probe_id": "p", "probe_at_ms": 1}
    rows = {(SUSPENDED, "7#x"): value}
    (found,) = Forecaster(partner_of(stored), state(rows)).of([letter(body())])
    assert found.fate is Fate.SUSPENDED


def test_a_table_that_does_not_answer_makes_it_blind(body: MakeBody) -> None:
    """Which is said, and costs nothing else."""

    class Silent(MemoryState):
        async def listed(self, pk: str) -> dict[str, Item]:
            raise StateUnavailable

        async def read(self, pk: str, sk: str) -> Item:
            raise StateUnavailable

    foresees = Forecaster(partner_of(PARTNER), Silent())
    assert [one.fate for one in foresees.of([letter(body())])] == [Fate.SENT]
    assert foresees.is_blind


def test_a_plan_counts_and_says_it_in_words() -> None:
    """One letter of each kind that would come back is named."""
    plan = Plan()
    counts = {Fate.SENT: 412, Fate.RESUMES: 9, Fate.SUSPENDED: 40, Fate.UNMAPPABLE: 31}
    for fate, count in counts.items():
        for number in range(count):
            calls = 0 if fate is Fate.UNMAPPABLE else 2
            error = f"no key for {number} of 3 deliveries" if fate is Fate.UNMAPPABLE else ""
            plan.add(Letter(f"{fate}{number}", "b", sent_ms=number), Forecast(fate, calls, error))
    assert list(plan.lines()) == [
        (412, "would now be sent"),
        (9, "are half delivered and resume"),
        (40, "belong to an account that is still suspended (-)"),
        (31, "are still unmappable"),
    ]
    assert (plan.letters, plan.coming_back, plan.calls_per_letter) == (492, 31, 2.0)
    assert plan.errors == {"no key for # of # deliveries": 31}
    assert plan.samples[Fate.UNMAPPABLE] == "unmappable0"
    assert plan.newest_ms == 411


def test_a_deployed_partner_shows_no_credential() -> None:
    assert "CANARY" not in repr(Deployed(None, "n"))
