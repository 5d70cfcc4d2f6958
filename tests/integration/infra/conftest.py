"""The template that `serverless package` writes, made once with neither network nor credentials."""

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.integration.infra.templates import Package, Template

ROOT = Path(__file__).parents[3]


def serverless(folder: Path, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run the deploy tool in an environment that holds no AWS setting and no home."""
    script, node = ROOT / "node_modules/osls/bin/serverless.js", shutil.which("node")
    assert node, "there is no node on the PATH: the project deploys with Node"
    assert script.is_file(), "there is no deploy tool: run `make node_modules`"
    return subprocess.run(
        [node, str(script), *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "STAGE_FILE": "", **env},
    )  # fmt: skip


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Package a stage and give its template; each kind once, as it takes a second."""

    @cache
    def run(stage: str = "dev", **env: str) -> Template:
        folder = tmp_path_factory.mktemp("package")
        done = serverless(folder, "package", "--stage", stage, "--package", str(folder / "out"), **env)
        assert done.returncode == 0, done.stdout + done.stderr
        written = json.loads((folder / "out/cloudformation-template-update-stack.json").read_text())
        assert isinstance(written, dict)
        return written

    return run


@pytest.fixture(scope="session")
def template(package: Package) -> Template:
    return package()


@pytest.fixture(scope="session")
def production(package: Package) -> Template:
    return package("production")


@pytest.fixture(scope="module", params=["dev", "production", "local", "production, fifo"])
def any_stage(request: pytest.FixtureRequest, package: Package) -> Template:
    """Give the template of every stage, and that of FIFO queues."""
    stage, _, queue_type = request.param.partition(", ")
    return package(stage, QUEUE_TYPE=queue_type) if queue_type else package(stage)


@pytest.fixture(scope="module")
def fifo(package: Package) -> Template:
    return package(QUEUE_TYPE="fifo")
