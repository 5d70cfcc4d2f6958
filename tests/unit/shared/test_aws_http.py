from collections.abc import Callable

import pytest

from shared import http11
from shared.aws_http import SHORTEST_S, AwsHttp, Unreached
from shared.sigv4 import Credentials

Step = int | Exception


class Service:
    """A service that answers as scripted, on connections whose time-outs are noted; each answer takes `step_s`."""

    def __init__(self, *steps: Step, step_s: float = 0.0) -> None:
        self.steps, self.step_s, self.now_s = list(steps), step_s, 0.0
        self.timeouts: list[float] = []
        self.connections = 0
        self.is_reached = self.keeps = True


class Connection:
    def __init__(self, service: Service) -> None:
        self.service, self.is_kept = service, True
        service.connections += 1
        if not service.is_reached:
            raise ConnectionRefusedError

    def settimeout(self, timeout_s: float) -> None:
        self.service.timeouts.append(timeout_s)

    def close(self) -> None: ...

    def post(self, *_: object) -> tuple[int, bytes]:
        self.service.now_s += self.service.step_s
        step = self.service.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        self.is_kept = self.service.keeps
        return step, b"{}"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Callable[[Service], AwsHttp]:
    def make(service: Service) -> AwsHttp:
        monkeypatch.setattr(http11, "connect", lambda host, port, timeout_s, tls: Connection(service))
        return AwsHttp(
            "sqs",
            endpoint="http://localhost:4566",
            region="us-east-1",
            credentials=lambda: Credentials("a", "b"),
            clock=lambda: service.now_s,
        )

    return make


CLOSED = [ConnectionResetError(), BrokenPipeError(), http11.Garbled()]


@pytest.mark.parametrize("closed", CLOSED, ids=lambda error: type(error).__name__)
def test_a_kept_connection_that_was_closed_is_replaced(aws: Callable[[Service], AwsHttp], closed: Exception) -> None:
    """The other end closes what it kept open: the call is made anew, and whoever asked does not notice."""
    service = Service(200, closed, 201)
    client = aws(service)
    assert [client.call("t", b"{}", timeout_s=1)[0] for _ in range(2)] == [200, 201]
    assert service.connections == 2


@pytest.mark.parametrize("closed", CLOSED, ids=lambda error: type(error).__name__)
def test_a_new_connection_that_is_closed_is_trouble(aws: Callable[[Service], AwsHttp], closed: Exception) -> None:
    """Only what was kept may have been closed while it was idle: a new connection is not replaced, nor is a third."""
    client = aws(Service(closed))
    with pytest.raises(type(closed)):
        client.call("t", b"{}", timeout_s=1)
    service = Service(200, closed, closed, 200)
    client = aws(service)
    client.call("t", b"{}", timeout_s=1)
    with pytest.raises(type(closed)):
        client.call("t", b"{}", timeout_s=1)
    assert service.connections == 2


def test_a_service_that_does_not_answer_is_not_asked_again(aws: Callable[[Service], AwsHttp]) -> None:
    """It may be about to do what it was asked: a second call could do it twice."""
    service = Service(200, TimeoutError(), 200)
    client = aws(service)
    client.call("t", b"{}", timeout_s=1)
    with pytest.raises(TimeoutError):
        client.call("t", b"{}", timeout_s=1)
    assert service.connections == 1


def test_the_second_connection_has_the_time_that_is_left(aws: Callable[[Service], AwsHttp]) -> None:
    """A connection that breaks late leaves little time, and one that breaks too late the shortest there is."""
    service = Service(200, ConnectionResetError(), 200, step_s=0.7)
    client = aws(service)
    client.call("t", b"{}", timeout_s=1)
    client.call("t", b"{}", timeout_s=1)
    assert service.timeouts == pytest.approx([1, 1, 0.3])
    service.steps, service.step_s = [ConnectionResetError(), 200], 5
    client.call("t", b"{}", timeout_s=1)
    assert service.timeouts[-1] == SHORTEST_S


def test_a_service_that_is_gone_meanwhile_was_not_reached(aws: Callable[[Service], AwsHttp]) -> None:
    """The second connection is refused: nothing was done, and that is said."""
    service = Service(200, ConnectionResetError())
    client = aws(service)
    client.call("t", b"{}", timeout_s=1)
    service.is_reached = False
    with pytest.raises(Unreached):
        client.call("t", b"{}", timeout_s=1)


def test_a_connection_that_the_service_closes_is_not_used_again(aws: Callable[[Service], AwsHttp]) -> None:
    """It said so in its answer: the next call opens another, and none is tried in vain."""
    service = Service(200, 200)
    service.keeps = False
    client = aws(service)
    assert [client.call("t", b"{}", timeout_s=1) for _ in range(2)] == [(200, b"{}")] * 2
    assert service.connections == 2
