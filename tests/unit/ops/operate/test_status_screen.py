"""One screen: what is wrong, how much is where, why nothing moves."""

import io
from dataclasses import replace
from typing import Any

import pytest

from ops.console.screen import Screen
from ops.operate import by_hand
from ops.operate.by_hand import Turned
from ops.operate.depth import Depth
from ops.operate.pause import Pause
from ops.operate.scope import Scope
from ops.operate.status import Lately, Status
from ops.operate.status_screen import drain_s, sentence, show
from ops.operate.suspensions import Suspended
from worker_fn.limits.adaptive import Limit
from worker_fn.limits.breaker import opened, opened_by_hand
from worker_fn.limits.flow import Flow

NOW_MS = 1_800_000_000_000
CALM = Status("dev", NOW_MS, mapping="Enabled", lately=Lately(5, 500, 500), serves=("ingest: version 3",))
OPEN = Flow(breaker=replace(opened(now_ms=NOW_MS - 600_000, probe_at_ms=NOW_MS + 20_000), said="HTTP 503"))
SUSPENDED = Suspended("7", 401, NOW_MS - 60_000, None)
WHO = "assumed-role/SpillwayOperator/night.shift"
OPENED = Turned(by_hand.OPEN, Scope(), NOW_MS + 1_800_000, None, WHO, "a restore", NOW_MS - 60_000)
LIMITED = Turned(by_hand.LIMIT, Scope(), NOW_MS + 7_200_000, 30.0, WHO, "less", NOW_MS - 900_000)


def screen(status: Status, **options: Any) -> str:
    console = Screen(file=io.StringIO(), width=80, **options)
    show(status, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "All is well"),
        ({"pause": Pause("partner asked", NOW_MS - 1)}, "an operator paused"),
        ({"flow": OPEN}, "The partner is down: the breaker is open for 10 min, its last answer was HTTP 503."),
        (
            {"turned": [OPENED]},
            "Nothing is delivered: an operator opened the breaker until 2027-01-15 08:30 UTC (in 30 min)",
        ),
        ({"turned": [OPENED], "flow": OPEN}, "(in 30 min): a restore."),
        (
            {"flow": Flow(breaker=opened_by_hand(now_ms=NOW_MS - 600_000, until_ms=NOW_MS - 1))},
            "The breaker that an operator opened is over its time",
        ),
        (
            {"turned": [LIMITED]},
            "An operator limits all calls to 30 a second until 2027-01-15 10:00 UTC (in 2 h): less.",
        ),
        ({"turned": [replace(LIMITED, scope=Scope("7"))]}, "All is well"),
        ({"flow": Flow(cool_until_ms=NOW_MS + 90_000)}, "asked for a pause: calls go on in 90 s"),
        ({"mapping": "Disabled"}, "the mapping is off"),
        (
            {"lately": Lately(5, 9, 9, dead={"rejected": 3})},
            "3 messages are dead-lettered in the last minutes: 3 rejected",
        ),
        ({"suspended": [SUSPENDED]}, "credentials of 1 account are refused"),
        ({"lately": Lately(5, 9, 9, failing={"7": 4})}, "Calls fail for 1 account: 7 (4)"),
        ({"queue": Depth(5, 2), "lately": Lately(5, 9, 0)}, "7 messages are in the queue, and none was delivered"),
        ({"queue": Depth(90_000), "lately": Lately(5, 0, 300)}, "gone in 25 h"),
        ({"queue": Depth(900), "lately": Lately(5, 500, 500)}, "A backlog of 900 messages, which does not shrink."),
        ({"dead": Depth(1)}, "1 message is in the dead-letter queue"),
        ({"unread": ["dynamodb:Query"]}, "Nothing wrong is seen, but not all was read: dynamodb:Query."),
        ({"unread": ["dynamodb:Query"], "dead": Depth(1)}, "1 message is in the dead-letter queue"),
    ],
)
def test_the_first_line_says_what_is_wrong(changes: dict[str, Any], said: str) -> None:
    """One sentence, the worst first."""
    assert said in sentence(replace(CALM, **changes))[1]


def test_a_pause_of_an_operator_comes_before_what_follows_from_it() -> None:
    """Nothing moves because somebody said so: that is what is wrong."""
    assert "an operator" in sentence(replace(CALM, pause=Pause("w", 1), mapping="Disabled", flow=OPEN))[1]


def test_the_screen_fits_into_80_columns() -> None:
    """Everything at once is a screen of one terminal."""
    flow = replace(OPEN, cool_until_ms=NOW_MS + 5_000, limit=Limit(120.0, why="pushed back"))
    full = replace(
        CALM,
        queue=Depth(123_456, 7_890),
        parking=Depth(4_321),
        dead=Depth(99, 1),
        flow=flow,
        allowed_per_s=120.0,
        pause=Pause("the partner maintains its database", NOW_MS - 3_600_000, WHO),
        turned=[LIMITED, OPENED, replace(LIMITED, scope=Scope("7", "users/bulk"))],
        suspended=[replace(SUSPENDED, account_id=str(n)) for n in range(9)],
        account_cool_downs={"12": NOW_MS + 60_000, "7#users/bulk": NOW_MS + 30_000},
        lately=Lately(5, 999, 99, {"rejected": 2, "too_old": 1}, {"breaker": 70}, {"7": 5}, NOW_MS - 7_200_000, "60 s"),
        unread=("cloudwatch:GetMetricData",),
    )
    lines = screen(full).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40
    for text in (
        "the partner maintains",
        "next probe in 20 s",
        f"by {WHO}: the partner",
        "at most 30 calls a second until 2027-01-15 10:00 UTC, in 2 h",
        f"set 15 min ago by {WHO}: less",
        "opened by an operator until 2027-01-15 08:30 UTC, in 30 min",
        f"set 60 s ago by {WHO}: a",
        "account 7 at users/bulk: at most 30 calls a second",
        "123,456 visible",
        "2 rejected",
        "account 3: HTTP 401",
        "120.0 calls a second",
        "account 12, in 60 s",
        "account 7 at users/bulk, in 30 s",
    ):
        assert any(text in line for line in lines), text


def test_what_could_not_be_read_is_not_shown_as_nothing() -> None:
    """No count, no breaker and no pause is claimed of what nobody saw."""
    unread = ["sqs:GetQueueAttributes", "dynamodb:Query"]
    drawn = screen(replace(CALM, mapping="", unread=unread, unknown=["queue", "parking", "dead", "state", "mapping"]))
    assert not [text for text in ("about 0", "closed", "nobody paused it", "All is well", "empty") if text in drawn]
    assert drawn.count("not known") == 7
    assert "dynamodb:Query is not allowed, or gave no answer" in drawn


def test_colours_are_those_that_are_read_on_black_and_on_white() -> None:
    """The sentence has the theme's red, and no colour of the terminal's own."""
    drawn = screen(replace(CALM, flow=OPEN), force_terminal=True, color_system="256")
    assert "38;5;160m" in drawn
    assert "\x1b[31m" not in drawn


def test_the_queue_is_empty_when_more_leaves_than_comes() -> None:
    """Messages over what the rates gain; unknown while they do not."""
    assert drain_s(replace(CALM, queue=Depth(100), lately=Lately(5, 0, 300))) == 100
    assert drain_s(replace(CALM, queue=Depth(100), lately=Lately(5, 300, 300))) is None
    assert drain_s(CALM) == 0


def test_the_share_of_the_rate_is_what_the_fleet_took() -> None:
    """Of the calls that were allowed, as their counters stand; messages may be several calls, or share one."""
    limited = replace(CALM, allowed_per_s=50.0, used=0.42, flow=Flow(limit=Limit(50.0, why="reached")))
    assert "50.0 calls a second (reached); of it is used: 42.0%" in screen(limited)
