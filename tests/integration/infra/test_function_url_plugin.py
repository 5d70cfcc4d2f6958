"""What infra/function-url.cjs refuses before anything is deployed."""

from pathlib import Path

import pytest

from tests.integration.infra.deploy_tool import serverless


@pytest.mark.parametrize("source", ["hunter2-hunter2-hunter2", "ssm:token", "secretsmanager:spillway/token"])
def test_a_token_in_place_of_its_source_is_refused(tmp_path: Path, source: str) -> None:
    """If TOKEN_SOURCE is not a reference, the message says what it must be, and does not repeat the value."""
    code, said = serverless(tmp_path, "package", "--package", str(tmp_path / "out"), TOKEN_SOURCE=source)
    assert code != 0
    assert "TOKEN_SOURCE must say where the tokens are kept" in said
    assert source not in said
