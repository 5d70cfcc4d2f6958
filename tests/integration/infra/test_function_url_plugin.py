"""What infra/function-url.cjs refuses before anything is deployed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("source", ["hunter2-hunter2-hunter2", "ssm:token", "secretsmanager:spillway/token"])
def test_a_token_in_place_of_its_source_is_refused(tmp_path: Path, source: str) -> None:
    """Whoever sets TOKEN_SOURCE to anything but a reference is told what it should be; what it was is not printed."""
    node = shutil.which("node")
    assert node, "there is no node on the PATH: the project deploys with Node"
    done = subprocess.run(
        [node, str(ROOT / "node_modules/osls/bin/serverless.js"), "package", "--package", str(tmp_path / "out")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "STAGE_FILE": "", "TOKEN_SOURCE": source},
    )  # fmt: skip
    assert done.returncode != 0
    assert "TOKEN_SOURCE says where the tokens are kept" in done.stdout
    assert source not in done.stdout
