from contextlib import nullcontext

import pytest

from ops.operate import trail


@pytest.fixture(autouse=True)
def no_trail(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a verb does is not written down: there is no state table."""
    monkeypatch.setattr(trail, "act", lambda *_, **__: nullcontext(trail.Act(0, "", "")))
