import sys
import types
from pathlib import Path

import pytest

from partners import Delivery, Partner, Secret, load_partner
from partners.webhook import Webhook
from shared.errors import InvalidSettings


def test_partner_is_chosen_by_one_setting() -> None:
    """PARTNER names the module; without it the webhook is meant."""
    env = {"WEBHOOK_URL": "https://partner.example/"}
    assert isinstance(load_partner({**env, "PARTNER": "partners.webhook"}), Webhook)
    assert isinstance(load_partner(env), Webhook)


def test_unknown_partner_is_named() -> None:
    """A module that does not exist is named in the error."""
    with pytest.raises(InvalidSettings, match=r"PARTNER=partners.nobody: no such module"):
        load_partner({"PARTNER": "partners.nobody"})


def test_missing_library_of_a_partner_is_not_taken_for_a_missing_partner(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partner that imports what is not installed fails with the name of that library."""

    def fail(name: str) -> types.ModuleType:
        raise ModuleNotFoundError("No module named 'acme_sdk'", name="acme_sdk")

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(ModuleNotFoundError, match="acme_sdk"):
        load_partner({"PARTNER": "partners.acme"})


@pytest.mark.parametrize("count", [0, 2])
def test_module_must_hold_one_partner(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partner file without a Partner, or with two, is refused in words."""
    module = types.ModuleType("partners.odd")
    for index in range(count):
        setattr(module, f"P{index}", type(f"P{index}", (Partner,), {"__module__": module.__name__}))
    monkeypatch.setitem(sys.modules, "partners.odd", module)
    with pytest.raises(InvalidSettings, match=f"holds {count} Partner classes"):
        load_partner({"PARTNER": "partners.odd"})


def test_secret_does_not_show() -> None:
    """A credential in a delivery is masked wherever the delivery is printed."""
    delivery = Delivery(
        "https://p.example",
        b"{}",
        "e",
        secret_headers={"A": Secret("canary")},
        secret_fields={"key": Secret("canary")},
        sign_with=Secret("canary"),
    )
    assert "canary" not in repr(delivery) + str(delivery) + f"{Secret('canary')}"


def test_a_registration_declared_as_the_file_is_read_does_not_stop_a_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partner deployed by force is loaded by both functions, wherever it declares what breaks a rule."""
    (tmp_path / "early_partner.py").write_text(
        "from partners import Partner\nfrom shared.firehose import Registration\n"
        "WE = Registration(name='Velo', version='1', description='x' * 230)\n"
        "class Velo(Partner):\n    name = 'velo'\n    def deliveries(self, request): return ()\n"
        "    def registration(self): return WE\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert load_partner({"PARTNER": "early_partner"}).registration().description == "x" * 230
