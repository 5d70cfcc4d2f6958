"""The template that `serverless package` writes, made once with neither network nor credentials."""

import json
from functools import cache

import pytest

from tests.integration.infra.deploy_tool import serverless
from tests.integration.infra.templates import Package, Template


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Package a stage and return its template; each kind only once, because it takes a second."""

    @cache
    def run(stage: str = "dev", **env: str) -> Template:
        folder = tmp_path_factory.mktemp("package")
        code, said = serverless(folder, "package", "--stage", stage, "--package", str(folder / "out"), **env)
        assert code == 0, said
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
    """The template of each stage, and that of FIFO queues."""
    stage, _, queue_type = request.param.partition(", ")
    return package(stage, QUEUE_TYPE=queue_type) if queue_type else package(stage)


@pytest.fixture(scope="module")
def fifo(package: Package) -> Template:
    return package(QUEUE_TYPE="fifo")
