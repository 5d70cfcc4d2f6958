"""The Makefile: its help is complete, and it says in a line if something is missing."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
VERBS = {
    "help",
    "demo",
    "demos",
    "local",
    "test",
    "test-fast",
    "check",
    "fuzz",
    "build",
    "deploy",
    "promote",
    "rollback",
    "versions",
    "remove",
    "bench",
    "bench-quick",
    "scenarios",
    "lock",
    "clean",
}
DEPLOYING = ("tests/e2e", "tests/integration/infra")


def make(folder: Path, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run make in a folder that has our Makefile."""
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), **env},
    )  # fmt: skip


MAKES_WORD = re.compile(r"make's variables are written in capitals: (\w+)=\.\.\., not (\S+)=")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout without anything installed, in a path with a space."""
    fresh = tmp_path / "a checkout"
    (fresh / "requirements").mkdir(parents=True)
    (fresh / "Makefile").write_text((ROOT / "Makefile").read_text())
    for name in (
        "requirements/dev.txt",
        "requirements/local-aws.txt",
        "pyproject.toml",
        "package.json",
        "package-lock.json",
    ):
        (fresh / name).touch()
    return fresh


def script(folder: Path, name: str, text: str) -> Path:
    """Write a program into a folder for the PATH; returns the folder."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / name).write_text(f"#!/bin/sh\n{text}\n")
    (tools / name).chmod(0o755)
    return tools


def test_help_lists_every_verb(folder: Path) -> None:
    """`make` and `make help` list every target for people, each with an explanation, in 80 columns."""
    assert make(folder).stdout == make(folder, "help").stdout
    assert max(map(len, make(folder).stdout.splitlines())) <= 80
    shown = dict(re.findall(r"^  make (\S+) +(\S.*)$", make(folder, "help").stdout, re.MULTILINE))
    assert set(shown) == VERBS


def test_every_target_for_people_is_in_the_help() -> None:
    """Only targets on which others depend have no line of help; every other target without one fails here."""
    phony = set(re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    targets = {target for line in phony for target in line.split()}
    assert targets - {"build-aws", "build-local", ".venv", ".venv-aws", ".venv-bench", "node_modules"} == VERBS


def test_an_old_python_is_said_in_one_line(folder: Path) -> None:
    """Python 3.10 is refused with a line that names it, and nothing is made."""
    old = script(folder, "python3.10", 'case "$2" in *print*) echo 3.10;; *) exit 1;; esac')
    done = make(folder, "check", f"PYTHON={old}/python3.10")
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == f"Spillway needs Python 3.11 or newer; {old}/python3.10 is 3.10"
    assert not (folder / ".venv").exists()


def test_no_python_is_said_in_one_line(folder: Path) -> None:
    """Without any Python, one line says how to name one."""
    done = make(folder, "check", "PYTHON=")
    assert done.returncode != 0
    assert done.stderr.startswith("Spillway needs Python 3.11 or newer as python3, or say which: make PYTHON=")


def test_an_old_node_is_said_in_one_line(folder: Path) -> None:
    """Node 18 is refused with a line that names it."""
    tools = script(folder, "node", 'case "$1" in --version) echo v18.1.0;; *) exit 1;; esac')
    done = make(folder, "node_modules", PATH=f"{tools}:/usr/bin:/bin")
    assert done.returncode != 0
    said = "Spillway deploys with Node 20.19, 22.13, 24 or newer of these; this is v18.1.0"
    assert done.stderr.splitlines()[0] == said


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("18.20.0", False),
        ("20.18.9", False),
        ("20.19.0", True),
        ("20.20.2", True),
        ("21.9.0", False),
        ("22.12.0", False),
        ("22.13.0", True),
        ("23.11.0", False),
        ("24.0.0", True),
        ("26.1.0", True),
    ],
)
def test_a_node_is_taken_exactly_if_the_deploy_tool_takes_it(version: str, fits: bool) -> None:
    """The Makefile's check, npm's `engines` and osls' own range accept the same versions."""
    text = (ROOT / "Makefile").read_text()
    check = re.search(r"^NODE_FITS := ((?:.*\\\n)*.*)", text, re.MULTILINE)
    assert check
    code = check[1].replace("\\\n", " ").replace("process.versions.node", repr(version))
    node = shutil.which("node")
    assert node
    assert (subprocess.run([node, "-e", code], check=False).returncode == 0) is fits
    engines = json.loads((ROOT / "package.json").read_text())["engines"]["node"]
    semver = f"require('semver').satisfies('{version}', '{engines}')"
    osls = f"require('./node_modules/osls/lib/cli/is-supported-node-version')('v{version}')"
    asked = subprocess.run(
        [node, "-p", f"{semver} + ' ' + {osls}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert asked.stdout.split() == [str(fits).lower()] * 2


@pytest.mark.parametrize(
    ("said", "meant"),
    [("stage=production", "STAGE"), ("Stage=production", "STAGE"), ("to=3", "TO"), ("alias_mode=hold", "ALIAS_MODE"),
     ("yes=1", "YES"), ("webhook_url=https://a.example", "WEBHOOK_URL"), ("alias-mode=hold", "ALIAS_MODE")],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["deploy", "remove"])
def test_a_variable_in_small_letters_is_answered(folder: Path, said: str, meant: str, verb: str) -> None:
    """A variable in small letters is refused: make would ignore it and act on another stage."""
    done = make(folder, "-n", verb, said)
    assert done.returncode != 0
    assert done.stdout == ""
    found = MAKES_WORD.search(done.stderr)
    assert found
    assert found.groups() == (meant, said.partition("=")[0])


def test_a_variable_that_nothing_reads_is_answered(folder: Path) -> None:
    """An unknown variable is refused, unless it has an underscore: then it may be a partner's."""
    done = make(folder, "-n", "remove", "STGE=production")
    assert done.returncode != 0
    assert "make knows no variable STGE; make help names them" in done.stderr
    for known in ("STAGE=x", "TO=3", "ALLOW=PARTNER", "PARTNER=partners.x", "ACME_URL=x", "POD=eu1", "SCENARIO=outage"):
        assert make(folder, "-n", "remove", known).returncode == 0, known


def test_a_word_that_is_no_verb_is_answered_before_anything_is_done(folder: Path) -> None:
    """`make deploy production` is refused before anything is deployed."""
    done = make(folder, "--dry-run", "deploy", "production")
    assert done.returncode == 2
    assert "make knows no verb production" in done.stderr
    assert "STAGE=..." in done.stderr
    assert done.stdout == ""


def test_every_target_may_be_asked_for(folder: Path) -> None:
    """make accepts every target, also those on which others depend."""
    for word in (*VERBS, "build-aws", "build-local", ".venv", ".venv-aws", "node_modules"):
        assert "knows no verb" not in make(folder, "--dry-run", word, "help").stderr


def test_a_stage_in_small_letters_of_the_shell_is_answered(folder: Path) -> None:
    """`stage=production make remove` is refused, too."""
    done = make(folder, "-n", "remove", stage="production")
    assert done.returncode != 0
    assert 'The environment holds "stage", and make reads STAGE' in done.stderr


def test_what_make_is_told_reaches_the_deploy_tool(folder: Path) -> None:
    """YES, DATA, ALLOW and a partner's variables on make's command line are in the tool's environment."""
    tools = script(folder, "node", 'echo "$YES $DATA $ALLOW $WEBHOOK_URL"')
    (folder / "node_modules").mkdir()
    (folder / "node_modules/.stamp").touch()
    said = ["YES=1", "DATA=delete", "ALLOW=PARTNER", "WEBHOOK_URL=https://a.example"]
    done = make(folder, "remove", *said, PATH=f"{tools}:/usr/bin:/bin")
    assert done.stdout == "1 delete PARTNER https://a.example\n"


def test_no_npm_is_said_in_one_line(folder: Path) -> None:
    """A Node without npm is reported before anything is installed."""
    tools = script(folder, "node", "exit 0")
    for name in ("sh", "bash", "awk", "grep", "tr"):
        (tools / name).symlink_to(f"/bin/{name}") if Path(f"/bin/{name}").exists() else None
    done = subprocess.run(
        ["/usr/bin/make", "node_modules", "PYTHON="], cwd=folder, capture_output=True, text=True, check=False,
        env={"PATH": str(tools), "HOME": str(folder)},
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == "Spillway installs its deploy tool with npm; there is no npm on the PATH"


def test_an_old_make_is_said_in_one_line(folder: Path) -> None:
    """macOS's make 3.81 is refused; it is recognised because it has no .ONESHELL."""
    done = make(folder, "help", ".FEATURES=target-specific order-only")
    assert done.returncode != 0
    assert "Spillway needs GNU make 4 or newer" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_said_to_the_tests_comes_last(folder: Path) -> None:
    """ARGS=-n0 overrides the number of processes, and the fast tests leave out every test that deploys."""
    for verb in ("test", "test-fast"):
        said = make(folder, "-n", verb, "ARGS=-n0 -k name").stdout.splitlines()[-1]
        assert re.search(r"-m pytest -n \d .*-n0 -k name$", said)
        assert all((f"--ignore={deploys}" in said) is (verb == "test-fast") for deploys in DEPLOYING)


def test_a_deploy_is_forced_only_when_it_is_said(folder: Path) -> None:
    """FORCE=1 passes --force to the deploy tool; without it --force is not passed."""
    assert 'deploy --stage "dev" --force' in make(folder, "-n", "deploy", "FORCE=1").stdout
    assert "--force" not in make(folder, "-n", "deploy").stdout


def test_clean_removes_what_make_made_and_nothing_else(folder: Path) -> None:
    """`make clean` removes environments, zips and caches, and leaves the sources."""
    for name in (".venv", ".venv-aws", "node_modules", "build", ".serverless", ".pytest_cache"):
        (folder / name).mkdir()
    (folder / "keep.txt").touch()
    assert make(folder, "clean").returncode == 0
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"requirements"}
    assert (folder / "keep.txt").exists()
    assert (folder / "Makefile").exists()


def test_the_npm_lock_names_no_host() -> None:
    """`npm ci` takes packages from the registry that a machine is configured for, and checks them by hash."""
    lock = (ROOT / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert lock.count('"integrity"') == lock.count('"node_modules/')
