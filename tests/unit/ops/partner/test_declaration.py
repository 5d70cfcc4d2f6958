"""What a partner declares, and its registration."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from partners import Limits
from shared.firehose import FloatSetting

Found = Callable[..., dict[str, tuple[str, list[str]]]]


@pytest.mark.parametrize(
    ("identity", "change"),
    [
        ("declaration.name", {"name": ""}),
        ("declaration.name", {"name": "Acme Mail"}),
        ("declaration.in_order", {"in_order": "yes"}),
        ("declaration.reads", {"reads": "account"}),
        ("declaration.reads", {"reads": 5}),
        ("declaration.reads", {"reads": (name for name in ("account", "events"))}),
        ("declaration.reads", {"reads": {"account", "evnts"}}),
        ("declaration.reads", {"reads": [5]}),
        ("declaration.reads", {"reads": ["account", ["events"]]}),
        ("limits.type", {"limits": 50}),
        ("limits.rate_headers", {"limits": Limits(rate_headers="X-Left")}),  # type: ignore[arg-type]
        ("limits.bulk", {"limits": Limits(bulk={"bulk": 5})}),
        ("limits.bulk", {"limits": Limits(bulk=[5])}),
        ("merge.undeclared", {"limits": Limits()}),
    ],
)
def test_a_bad_declaration_is_found(identity: str, change: dict[str, Any], good: Any, found: Found) -> None:
    """Name, order, fields and limits are looked at before a request is."""
    assert identity in found(type("Spoilt", (good,), change)())


@pytest.mark.parametrize(
    ("identity", "events", "others"),
    [
        ("registration.no_events", {"supported_event_types": []}, {}),
        ("registration.no_environments", {"supported_runtime_environments": []}, {}),
        (
            "registration.empty",
            {},
            dict.fromkeys(f"{kind}_processing_registration" for kind in ("event", "audience", "dsr")),
        ),
        ("settings.range", {"account_settings": [FloatSetting(id="a", name="A", default_value=math.inf)]}, {}),
        ("description.long", {}, {"description": "x" * 230}),
        ("registration.invalid", {"supported_event_types": ["custom_evnt"]}, {}),
        ("registration.invalid", {}, {"name": ""}),
    ],
)
def test_a_bad_registration_is_found(
    identity: str, events: dict[str, Any], others: dict[str, Any], good: Any, found: Found
) -> None:
    """What mParticle would refuse or never send is said in words, with the field's name."""

    class Spoilt(good):  # type: ignore[misc]
        def registration(self) -> Any:
            declared = super().registration()
            part = declared.event_processing_registration
            kind = type(part)
            fields = {"event_processing_registration": kind(**{**dict(part), **events})}
            return type(declared)(**{**dict(declared), **fields, **others})

    problems = found(Spoilt())
    assert identity in problems


@pytest.mark.parametrize(
    ("identity", "registration"),
    [("registration.raises", lambda _: 1 / 0), ("registration.type", lambda _: {"name": "Good"})],
)
def test_a_registration_that_is_none_is_found(identity: str, registration: Any, good: Any, found: Found) -> None:
    """It raises, or is something else."""
    assert set(found(type("Spoilt", (good,), {"registration": registration})())) == {identity}


def test_pydantic_s_words_name_field_and_line(good: Any, found: Found) -> None:
    """An unknown event type is one sentence, not a traceback."""

    class Spoilt(good):  # type: ignore[misc]
        def registration(self) -> Any:
            part = super().registration().event_processing_registration
            return type(part)(supported_event_types=["custom_evnt"])

    problem, _ = found(Spoilt())["registration.invalid"]
    assert problem.startswith("EventProcessingRegistration: supported_event_types[0]: Input should be 'session_start'")
