import sys
from pathlib import Path

import pytest

from ops.partner.variables import known_variables, selected, unread

WEBHOOK = {
    f"WEBHOOK_{name}"
    for name in ("URL", "METHOD", "HEADERS", "SECRET_HEADERS", "PER", "AUTH", "RATE", "ACCOUNT_RATE", "SUBSCRIBE_URL",
                 "SIGN")
}  # fmt: skip
ACME = """\
from acme_house import values
from partners import Partner

class Acme(Partner):
    name = "acme"

    @classmethod
    def from_env(cls, env):
        if env.get("ACME_MODE") == "bulk":
            env.get("ACME_SIZE")
        env.get("_".join(["ACME", "MADE"]))
        values.read(env)
        return cls()

    def registration(self): ...
    def deliveries(self, request): ...
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a partner and a helper module, importable."""
    package = tmp_path / "acme_house"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "acme.py").write_text(ACME)
    (package / "values.py").write_text(
        'def read(env): env.get("ACME_HELPED")\nLATER = "ACME_LATER"\nOTHER = "OTHER_X"\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("acme_house")]:
        del sys.modules[name]


def test_a_partner_is_asked_what_it_reads() -> None:
    """Every variable of its docstring is known, also while its settings are bad."""
    assert known_variables({"WEBHOOK_URL": "https://h.example/"}) == WEBHOOK
    assert known_variables({"WEBHOOK_URL": "nothing"}) == WEBHOOK


def test_names_in_a_helper_and_made_names_are_known(house: Path) -> None:
    """Asked for under a condition, in another module of its package, or spelled by code: all are its own."""
    env = {"PARTNER": "acme_house.acme"}
    assert known_variables(env) == {f"ACME_{name}" for name in ("MODE", "SIZE", "MADE", "HELPED", "LATER")}


def test_the_functions_are_given_what_the_partner_reads_and_no_more(house: Path) -> None:
    """Set ones alone; another tool's variables and those of another partner stay where they are."""
    env = {"PARTNER": "acme_house.acme", "ACME_HELPED": "1", "ACME_SIZE": "", "ACME_TOKEN": "canary", "OTHER_X": "1"}
    assert selected(env) == {"PARTNER": "acme_house.acme", "ACME_HELPED": "1"}


@pytest.mark.parametrize(
    ("name", "near"),
    [("WEBHOOK_SING", "WEBHOOK_SIGN"), ("WEBHOOK_ULR", "WEBHOOK_URL"), ("webhook_sign", "WEBHOOK_SIGN"),
     ("Webhook_Rate", "WEBHOOK_RATE"), ("WEBHOOK_HEADER", "WEBHOOK_HEADERS"), ("WEBHOOK_", "WEBHOOK_")],
)  # fmt: skip
def test_a_slip_of_the_pen_is_named_with_what_was_meant(name: str, near: str) -> None:
    """Whoever sets it believes that it is on; its value is not shown."""
    [finding] = unread({name: "canary"}, WEBHOOK)
    assert (finding.id, name in finding.message, near in finding.mend) == ("settings.unread", True, True)
    assert "canary" not in finding.message + finding.mend


def test_what_is_read_or_empty_or_anothers_is_no_slip() -> None:
    """Only the partner's own prefix counts."""
    env = {"WEBHOOK_SIGN": "true", "WEBHOOK_SING": "", "ACME_URL": "x", "WEBHOOKS_URL": "x", "HOME": "/"}
    assert unread(env, WEBHOOK) == []


def test_a_partner_that_cannot_be_made_has_what_its_file_names() -> None:
    """Selecting its variables does not raise: the check of its registration says what is wrong."""
    assert selected({"PARTNER": "partners.nobody", "NOBODY_URL": "x"}) == {"PARTNER": "partners.nobody"}
