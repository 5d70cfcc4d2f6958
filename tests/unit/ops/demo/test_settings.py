import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.demo.settings import MAX_LIMIT, MIN_LIMIT, DemoSettings
from shared.errors import InvalidSettings

SETTINGS = st.builds(
    DemoSettings,
    limit=st.integers(MIN_LIMIT, MAX_LIMIT),
    events=st.integers(1, 2),
    partner_latency_ms=st.integers(1, 5000),
    partner_rate=st.floats(1, 2000),
)


@given(SETTINGS)
def test_both_designs_get_the_same_limit(settings: DemoSettings) -> None:
    """What ingest and the workers may run together is what the direct function may run, whatever was asked for."""
    assert settings.ingest_limit + settings.workers == settings.limit
    assert settings.ingest_limit > 0
    assert settings.workers >= 2


@given(SETTINGS)
def test_spillway_is_sized_below_the_partners_rate(settings: DemoSettings) -> None:
    """Calls at once over latency stay under the partner's rate, down to the least that can be set."""
    at_once = settings.workers * settings.max_in_flight
    assert at_once <= max(settings.calls_at_once, settings.workers)


def test_the_defaults_overload_the_direct_design() -> None:
    """The spike is above what the limit can carry at the partner's latency, and the calm stretches are below it."""
    settings = DemoSettings()
    assert settings.direct_rps == 50
    assert settings.calm_rps < settings.direct_rps < settings.spike_rps


def test_the_defaults_do_not_overload_the_partner() -> None:
    """At its limit the direct design stays under the partner's rate: throttles are Lambda's, not the partner's."""
    settings = DemoSettings()
    assert settings.direct_rps * settings.events < settings.partner_rate


@pytest.mark.parametrize(
    ("bad", "variable"),
    [
        ({"requests": 0}, "REQUESTS"),
        ({"limit": 2}, "LIMIT"),
        ({"limit": 5000}, "LIMIT"),
        ({"events": 0}, "EVENTS"),
        ({"partner_latency_ms": 0}, "PARTNER_LATENCY_MS"),
        ({"events": 20, "partner_latency_ms": 1000}, "EVENTS x PARTNER_LATENCY_MS"),
        ({"partner_rate": 0}, "PARTNER_RATE"),
        ({"partner_failure_rate": 0.9}, "PARTNER_FAILURE_RATE"),
        ({"outage_s": 0}, "OUTAGE_S"),
        ({"seed": -1}, "SEED"),
    ],
)
def test_a_bad_number_is_named(bad: dict[str, int], variable: str) -> None:
    """The error names the variable that a person would change."""
    with pytest.raises(InvalidSettings, match=f"^{variable} must "):
        DemoSettings(**bad)
