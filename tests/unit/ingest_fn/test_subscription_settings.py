from typing import Any

import pytest

from ingest_fn.subscription_settings import problems
from shared.firehose import BooleanSetting, FloatSetting, IntegerSetting, TextSetting

REGISTERED = [
    TextSetting(id="listId", name="List", required=True, visible=False),
    TextSetting(id="note", name="Note"),
    IntegerSetting(id="size", name="Size", min_value=1, max_value=100),
    FloatSetting(id="share", name="Share", min_value=0, max_value=1),
    BooleanSetting(id="hashed", name="Hashed"),
]


def found(settings: object, came: dict[str, str] | None = None, *, needs_all: bool = True) -> list[str]:
    return problems(settings, came=came or {}, registered=REGISTERED, needs_all=needs_all)


@pytest.mark.parametrize(
    "settings",
    [
        {"listId": "l-1"},
        {"listId": "l-1", "size": "1", "share": "0.5", "hashed": "true", "note": ""},
        {"listId": "l-1", "size": "100", "share": "1e-3", "hashed": "False"},
    ],
)
def test_settings_that_are_registered_are_well(settings: dict[str, str]) -> None:
    """Each of its type and within its bounds, the required one there."""
    assert found(settings) == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"listid": "l-1", "listId": "l"}, "listid is not registered as an audience subscription setting"),
        ({}, "listId is missing, and registered as required"),
        ({"listId": ""}, "listId is missing, and registered as required"),
        ({"listId": 5}, "listId must be a text, as all settings are on the wire"),
        ({"listId": "l", "size": "0"}, "size must be an integer from 1 to 100"),
        ({"listId": "l", "size": "1.5"}, "size must be an integer from 1 to 100"),
        ({"listId": "l", "size": "٣"}, "size must be an integer from 1 to 100"),
        ({"listId": "l", "share": "nan"}, "share must be a number from 0.0 to 1.0"),
        ({"listId": "l", "share": "much"}, "share must be a number from 0.0 to 1.0"),
        ({"listId": "l", "hashed": "yes"}, "hashed must be true or false"),
        (None, "it must give a mapping of setting ids to texts"),
        (["listId"], "it must give a mapping of setting ids to texts"),
    ],
)
def test_a_mistake_is_named(settings: Any, problem: str) -> None:
    """In words that say what it should be."""
    assert found(settings) == [problem]


def test_no_value_and_no_key_that_may_be_a_users_is_shown() -> None:
    """A mapping that holds a user's data by mistake does not get into a log."""
    wrong = found({"canary@example.com": "x", "size": "canary", "listId": "l", 5: "canary"})
    assert len(wrong) == 3
    assert "canary" not in " ".join(wrong)


def test_what_came_from_mparticle_goes_back_as_it_was() -> None:
    """Settings that this version does not register are mParticle's to judge, unless the partner changed them."""
    assert found({"listId": "l", "older": "x", "size": "500"}, {"older": "x", "size": "500"}) == []
    assert found({"listId": "l", "size": "501"}, {"size": "500"}) != []


def test_a_subscription_that_ends_needs_no_settings() -> None:
    """Nothing is stored with it any more."""
    assert found({}, needs_all=False) == []
