"""What infra/alias.cjs refuses before anything is deployed, with a message of one line."""

import json
from pathlib import Path

import pytest

from tests.integration.infra import deploy_tool


def serverless(folder: Path, *arguments: str, **env: str) -> tuple[int, str]:
    return deploy_tool.serverless(folder, *arguments, "--package", str(folder / "out"), **env)


@pytest.mark.parametrize("mode", ["latest", "0", "ingest=3"])
def test_an_unknown_alias_mode_is_refused(tmp_path: Path, mode: str) -> None:
    """A mode that is neither a known word nor a version for every function stops the deploy."""
    code, said = serverless(tmp_path, "package", ALIAS_MODE=mode)
    assert code != 0
    assert f'ALIAS_MODE is "{mode}"; it is move, hold, a version number, or one for each (ingest=1,worker=1).' in said


@pytest.mark.parametrize(("mode", "ingest", "worker"), [("7", "7", "7"), ("ingest=3, worker=5", "3", "5")])
def test_a_version_that_is_named_is_the_live_one(tmp_path: Path, mode: str, ingest: str, worker: str) -> None:
    """ALIAS_MODE can pin one version number for both functions, or a number for each."""
    code, said = serverless(tmp_path, "package", ALIAS_MODE=mode)
    assert code == 0, said
    resources = json.loads((tmp_path / "out/cloudformation-template-update-stack.json").read_text())["Resources"]
    assert resources["IngestProductionAlias"]["Properties"]["FunctionVersion"] == ingest
    assert resources["WorkerProductionAlias"]["Properties"]["FunctionVersion"] == worker


def test_holding_needs_a_deploy(tmp_path: Path) -> None:
    """Only AWS knows which version is live, so `package` cannot hold it."""
    code, said = serverless(tmp_path, "package", ALIAS_MODE="hold")
    assert code != 0
    assert "ALIAS_MODE=hold asks AWS for the version that is live" in said


@pytest.mark.parametrize("accounts", ["338661164609,", "*"])
def test_an_account_that_is_none_is_refused(tmp_path: Path, accounts: str) -> None:
    """A list of accounts with an entry that is no account id stops the deploy."""
    code, said = serverless(tmp_path, "package", MPARTICLE_ACCOUNTS=accounts)
    assert code != 0
    assert "is not an account id of 12 digits" in said


def test_a_webhook_without_an_address_is_refused(tmp_path: Path) -> None:
    """A deploy that could deliver nowhere stops before it asks AWS for anything."""
    code, said = serverless(tmp_path, "package")
    assert code == 0, said
    code, said = serverless(tmp_path, "deploy")
    assert code != 0
    assert "Where do deliveries go? Set WEBHOOK_URL" in said


def test_an_unknown_type_of_queue_is_refused(tmp_path: Path) -> None:
    """Each type of queue has a file; an unknown type stops the deploy, and the message names the setting."""
    code, said = serverless(tmp_path, "package", QUEUE_TYPE="lifo")
    assert code != 0
    assert 'Cannot resolve variable at "custom.queues"' in said


def test_an_unknown_pod_is_refused(tmp_path: Path) -> None:
    """One line names the unknown pod and the pods that exist, and nothing is packaged."""
    code, said = serverless(tmp_path, "package", POD="mars")
    assert code != 0
    assert said == "Spillway: POD=mars is no pod of mParticle's: it is one of us1, us2, eu1, au1\n"
