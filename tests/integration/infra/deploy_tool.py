"""The deploy tool without credentials, in checkouts of its own as git would give them to a new user.

The tool clears a folder of the checkout whatever it does, so none of this runs where an end-to-end test may deploy.
"""

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / "build" / ".schemas"
"""Where the tool keeps its compiled schema for every test: compiling it takes two seconds, and each home is new."""


def serverless(home: Path, *arguments: str, cwd: Path | None = None, **env: str) -> tuple[int, str]:
    """Run the deploy tool in an environment without any AWS setting; returns its exit code and all its output."""
    script, node = ROOT / "node_modules/osls/bin/serverless.js", shutil.which("node")
    assert node, "there is no node on the PATH: the project deploys with Node"
    assert script.is_file(), "there is no deploy tool: run `make node_modules`"
    done = subprocess.run(
        [node, str(script), *arguments],
        cwd=cwd or everybodys(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true",
             "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
             "NODE_NO_WARNINGS": "1", "SLS_SCHEMA_CACHE_BASE_DIR": str(SCHEMAS),
             **env},
    )  # fmt: skip
    return done.returncode, done.stdout


@cache
def everybodys() -> Path:
    """The checkout for tests that leave it as it was: one for all tests of a process."""
    folder = Path(tempfile.mkdtemp(prefix="spillway-checkout-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return equipped(copied(folder))


def copied(folder: Path) -> Path:
    """Copy the repository's files and the deploy tool, without `.venv` and zips."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".", ":!tests", ":!docs"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)  # with its time, by which make knows what is up to date
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    return folder


def equipped(folder: Path) -> Path:
    """Give a checkout the environment, the libraries that were installed for the zips, and the built zips."""
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "build").mkdir()
    (folder / "build/.packages").symlink_to(ROOT / "build/.packages")
    for built in (ROOT / "build/aws", ROOT / "build/local"):
        if built.is_dir():
            shutil.copytree(built, folder / "build" / built.name, ignore=shutil.ignore_patterns(".*"))
    return folder
