"""Partners that are declared badly, as modules that PARTNER can name."""

from collections.abc import Callable
from pathlib import Path

import pytest

HEAD = """\
from partners import Partner
from shared.firehose import *

class Velo(Partner):
    name = "velo"

    def deliveries(self, request):
        return ()

    def registration(self):
        return Registration(name="Velo", version="1.6.0", {declared})
"""


@pytest.fixture
def partner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, str]]:
    """Write a partner that declares something; gives the environment that chooses it."""
    made = 0

    def write(declared: str) -> dict[str, str]:
        nonlocal made
        made += 1
        name = f"velo_{tmp_path.name}_{made}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(HEAD.format(declared=declared))
        monkeypatch.syspath_prepend(tmp_path)
        return {"PARTNER": name}

    return write
