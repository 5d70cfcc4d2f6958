from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.worker_fn.clients.calls import Client


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(**options: Any) -> Client:
        made.append(Client(**options))
        return made[-1]

    yield make
    for one in made:
        one.close()
