"""A checkout of one's own: what git would give a new user, and the deploy tool run in it."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def copied(folder: Path) -> Path:
    """Copy what belongs to the repository, with the deploy tool; neither `.venv` nor zips are there."""
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
    """Give a checkout the environment, and the libraries that were installed for the zips."""
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "build").mkdir()
    (folder / "build/.packages").symlink_to(ROOT / "build/.packages")
    return folder


def serverless(folder: Path, *arguments: str, **env: str) -> tuple[int, str]:
    """Run the deploy tool in a checkout without credentials; gives its exit code and all that it said."""
    node = shutil.which("node")
    assert node, "there is no node on the PATH: the project deploys with Node"
    done = subprocess.run(
        [node, "node_modules/osls/bin/serverless.js", *arguments],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true",
             "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
             "NODE_NO_WARNINGS": "1", **env},
    )  # fmt: skip
    return done.returncode, done.stdout
