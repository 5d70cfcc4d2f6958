import importlib
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
    for name in [name for name in sys.modules if name.startswith("acme")]:
        del sys.modules[name]


def test_a_partner_is_asked_what_it_reads() -> None:
    """Every variable of its docstring is known, also while its settings are bad."""
    assert known_variables({"WEBHOOK_URL": "https://h.example/"}) == WEBHOOK
    assert known_variables({"WEBHOOK_URL": "nothing"}) == WEBHOOK


def test_names_in_a_helper_and_made_names_are_known(house: Path) -> None:
    """Asked for under a condition, in another module of its package, or spelled by code: all are its own."""
    env = {"PARTNER": "acme_house.acme"}
    assert known_variables(env) == {f"ACME_{name}" for name in ("MODE", "SIZE", "MADE", "HELPED", "LATER")}


PARTNER_FILE = """\
from partners import Partner
{imports}
class Acme(Partner):
    name = 'acme'
    registration = deliveries = None
"""
HELPERS = {
    "of a partner that is a package": (
        "acme_house.acme",
        {"acme/__init__.py": "from . import calls", "acme/calls.py": "LATER = 'ACME_LATER'"},
    ),
    "two folders down": (
        "acme_house.acme",
        {
            "acme.py": "from .deep.down import values",
            "deep/__init__.py": "",
            "deep/down/__init__.py": "",
            "deep/down/values.py": "from ...more import LATER",
            "more.py": "LATER = 'ACME_LATER'",
        },
    ),
    "of a package that gives its names on": (
        "acme_house.acme",
        {
            "acme.py": "import acme_house.own as own",
            "own/__init__.py": "from .x import *",
            "own/x.py": "A = 'ACME_LATER'",
        },
    ),
    "one folder up": (
        "acme_house.deep.acme",
        {"deep/__init__.py": "", "deep/acme.py": "from acme_house import values", "values.py": "A = 'ACME_LATER'"},
    ),
    "imported when it is needed, by a name that is put together": (
        "acme_house.acme",
        {
            "acme.py": "import importlib\ndef later():\n    importlib.import_module('acme_house.values')",
            "values.py": "A = 'ACME_LATER'",
        },
    ),
    "beside a partner that is in no package": (
        "acme",
        {"../acme.py": "def later():\n    import acme_values", "../acme_values.py": "A = 'ACME_LATER'"},
    ),
    "whose import raises": (
        "acme_house.acme",
        {
            "acme.py": "def later():\n    from acme_house.bad.values import LATER",
            "bad/__init__.py": "raise KeyError",
            "bad/values.py": "A = 'ACME_LATER'",
        },
    ),
    "that goes around": (
        "acme_house.acme",
        {
            "acme.py": "from acme_house import one",
            "one.py": "from acme_house import two",
            "two.py": "from . import one, acme\nTEXT = 'acme_house.\\0. x'\nA = 'ACME_LATER'",
        },
    ),
}


@pytest.mark.parametrize(("module", "files"), HELPERS.values(), ids=HELPERS)
def test_names_in_a_helper_are_known_wherever_it_stands(house: Path, module: str, files: dict[str, str]) -> None:
    """A helper of the partner's package, or beside its file, by whichever kind of import; each file is read once."""
    (house / "acme_house" / "acme.py").unlink()
    for name, imports in files.items():
        path = house / "acme_house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            PARTNER_FILE.format(imports=imports) if name.endswith(("acme.py", "acme/__init__.py")) else imports
        )
    assert known_variables({"PARTNER": module}) == {"ACME_LATER"}


def test_whoever_takes_the_whole_environment_reads_all_of_its_own(house: Path) -> None:
    """A loop over the environment asks for each variable; what begins with another name stays where it is."""
    for taken in ("{**env}", "dict(env)", "[name for name in env]", "list(env.items())", "list(env.keys())"):
        file = house / "acme_house" / "acme.py"
        file.write_text(ACME.replace('env.get("_".join(["ACME", "MADE"]))', taken))
        sys.modules.pop("acme_house.acme", None)
        importlib.invalidate_caches()
        env = {"PARTNER": "acme_house.acme", "ACME_ANY": "1", "OTHER_ANY": "1"}
        assert selected(env) == {"PARTNER": "acme_house.acme", "ACME_ANY": "1"}, taken


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
