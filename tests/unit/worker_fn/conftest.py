"""A fleet of workers with a fake partner, queue and state table, on a simulated clock."""

from typing import Any

import pytest

from partners import Partner
from testkit.harness import Harness
from testkit.records import record
from tests.fakes import echo
from tests.fakes.echo import EchoApi

BEGINS_S = 1_700_000_000.0


class Fleet(Harness):
    """Workers of a partner whose API gives the answers that the events name."""

    api: EchoApi
    record = staticmethod(record)

    def __init__(self, partner: Partner | None = None, **options: Any) -> None:
        options = {"max_in_flight": 4, "share": 0.1, **options}
        super().__init__(partner or echo.Echo(), EchoApi(), begins_s=BEGINS_S, **options)

    def letters(self) -> list[tuple[str, str]]:
        return [(attributes["reason"], attributes.get("error", "")) for _, attributes in self.queue.dead]


@pytest.fixture
def make_fleet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make fleets with other partners and settings; `asyncio.run` uses the last one's clock."""

    def make(partner: str | Partner = "echo", **options: Any) -> Fleet:
        if not isinstance(partner, Partner):
            kind = getattr(echo, partner.title().replace("_", ""))
            partner = kind(options.pop("fault")) if "fault" in options else kind()
        fleet = Fleet(partner, **options)
        monkeypatch.setattr("asyncio.events.new_event_loop", fleet.clock.loop)
        return fleet

    return make


@pytest.fixture
def fleet(make_fleet: Any) -> Fleet:
    fleet: Fleet = make_fleet()
    return fleet
