"""A deploy checks the registration first: what infra/registration.cjs refuses, and what it lets pass."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.infra import deploy_tool
from tests.integration.infra.deploy_tool import ROOT

PARTNER = """\
from partners import Partner
from shared.firehose import *

class Velo(Partner):
    name = "velo"

    def deliveries(self, request):
        return ()

    def registration(self):
        return Registration(name="Velo", {declared})
"""
BROKEN = 'version="spring", description="x" * 230'
AFTER_THE_GATE = "AWS provider credentials not found"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A home without credentials, in which the partner's module is found, too."""
    return tmp_path


def deploy(folder: Path, *arguments: str, **env: str) -> tuple[int, str]:
    """Package and deploy without credentials; returns the exit code and the output of the deploy."""
    code, said = serverless(folder, "package", **env)
    assert code == 0, said
    return serverless(folder, "deploy", *arguments, **env)


def serverless(folder: Path, *arguments: str, **env: str) -> tuple[int, str]:
    python = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return deploy_tool.serverless(folder, *arguments, "--package", str(folder / "out"), **python, **env)


def partner(folder: Path, declared: str) -> dict[str, str]:
    (folder / "velo_partner.py").write_text(PARTNER.format(declared=declared))
    return {"PARTNER": "velo_partner"}


def test_a_registration_that_breaks_a_rule_is_not_deployed(folder: Path) -> None:
    """Before AWS is asked, each broken rule is printed with what to do, and how to deploy all the same."""
    code, said = deploy(folder, **partner(folder, BROKEN))
    assert code != 0
    assert "The description has 230 characters, markup included; mParticle takes fewer than 230." in said
    assert "Shorten it by 1." in said
    assert "make deploy FORCE=1, or serverless deploy --force" in said
    assert "The version is not numbers joined by dots." in said, "advice is shown, too"
    assert AFTER_THE_GATE not in said


def test_it_is_deployed_by_force(folder: Path) -> None:
    """With --force the broken rules are printed once more, and the deploy goes on."""
    _, said = deploy(folder, "--force", **partner(folder, BROKEN))
    assert "Deployed by force." in said
    assert "The description has 230 characters" in said
    assert AFTER_THE_GATE in said


def test_advice_stops_nothing(folder: Path) -> None:
    """A registration with warnings only is deployed, and the warnings are printed."""
    _, said = deploy(folder, **partner(folder, 'version="spring", description="Rides."'))
    assert "The version is not numbers joined by dots." in said
    assert AFTER_THE_GATE in said


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"PARTNER": "partners.nobody"}, "PARTNER=partners.nobody: no such module"),
        ({"WEBHOOK_URL": "ftp://partner.example"}, "WEBHOOK_URL must be an https URL"),
    ],
)
def test_a_registration_that_cannot_be_made_is_not_deployed(folder: Path, env: dict[str, str], named: str) -> None:
    """If the registration cannot be made, the deploy is refused with the check's last line."""
    code, said = deploy(folder, **env)
    assert code != 0
    assert "The registration cannot be checked:" in said
    assert named in said
    assert "FORCE" not in said, "force would deploy functions that fail at every request"
    assert AFTER_THE_GATE not in said


def test_no_force_deploys_what_cannot_be_loaded(folder: Path) -> None:
    """A partner that does not exist or cannot be imported is refused, even with --force."""
    code, said = deploy(folder, "--force", PARTNER="partners.nobody")
    assert code != 0
    assert "PARTNER=partners.nobody: no such module" in said
    assert AFTER_THE_GATE not in said


def test_a_partner_without_its_folder_is_told_it(folder: Path) -> None:
    """PARTNER=iterable is refused, and the message has the full name."""
    code, said = deploy(folder, PARTNER="iterable")
    assert code != 0
    assert "PARTNER=iterable is no module. Did you mean PARTNER=partners.iterable?" in said
    assert "FORCE" not in said


GATE = """
const Limiter = require({plugin});
const serverless = {{ serviceDir: {folder}, service: {{ custom: {{}} }}, classes: {{ Error }} }};
const limiter = new Limiter(serverless, {options}, {{ log: {{ warning: console.log }} }});
const deploy = limiter.hooks['before:deploy:deploy'];
deploy().then(() => console.log('goes on'), (error) => console.log('refused:', error.message));
"""


@pytest.mark.parametrize("options", ["{}", "{ force: true }"])
def test_without_an_environment_to_check_in_it_is_refused(tmp_path: Path, options: str) -> None:
    """Without .venv the check cannot run, and the message says what makes one; --force does not help, because the zips
    could not be built.
    """
    node = shutil.which("node")
    assert node
    script = GATE.format(plugin=repr(str(ROOT / "infra/registration.cjs")), folder=repr(str(tmp_path)), options=options)
    said = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True).stdout
    assert "there is no .venv here (make deploy makes it)" in said
    assert "refused:" in said
