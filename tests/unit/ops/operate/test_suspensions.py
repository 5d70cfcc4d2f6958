"""What `spillway suspensions clear --wait` says in the end."""

import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.operate import stack, suspensions
from ops.operate.suspensions import Cleared, Suspended

WAITS = "Waiting two minutes or so for messages that are still being parked; Ctrl-C ends only this."
AGAIN = Suspended("7", 401, 0, None)


@pytest.fixture
def cleared(monkeypatch: pytest.MonkeyPatch) -> list[Cleared]:
    """What the clear comes to, to be filled by a test."""
    ends: list[Cleared] = []
    monkeypatch.setattr(stack, "find_stack", lambda _: None)
    monkeypatch.setattr(suspensions, "clear_accounts", lambda *_: Cleared(["7"]))
    monkeypatch.setattr(suspensions, "move_back", lambda *_, **__: ends[0])
    return ends


def test_messages_that_are_refused_again_are_said(cleared: list[Cleared]) -> None:
    """Whose, with which status, and what becomes of them; whoever waited for it is told by the exit status."""
    cleared.append(Cleared(["7"], 40, is_done=True, refused_again=[AGAIN]))
    done = CliRunner().invoke(app, ["suspensions", "clear", "7", "--wait"])
    assert "7: refused again with HTTP 401; messages with these credentials are parked as before" in done.output
    assert done.exit_code == 1
    assert CliRunner().invoke(app, ["suspensions", "clear", "7"]).exit_code == 0


def test_messages_that_are_taken_end_it_well(cleared: list[Cleared]) -> None:
    """Nothing more is said of them."""
    cleared.append(Cleared(["7"], 40, is_done=True))
    done = CliRunner().invoke(app, ["suspensions", "clear", "7", "--wait"])
    assert (done.exit_code, done.output) == (0, f"cleared: 7\n{WAITS}\n")


def test_the_listing_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """`suspensions list` is what `suspensions` alone is, as `cooldown list` and `dsr list` are."""
    monkeypatch.setattr(stack, "find_stack", lambda stage: stage)
    monkeypatch.setattr(suspensions, "listing", lambda stage: stage)
    monkeypatch.setattr(suspensions, "as_json", lambda stage: f'"{stage}"')
    for said in (["suspensions", "list"], ["suspensions"]):
        assert CliRunner().invoke(app, [*said, "--json", "--stage", "prod"]).output == '"prod"\n'
