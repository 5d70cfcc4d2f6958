"""Following the log while CloudWatch does not take every call."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from ops.operate import facts, tail
from ops.operate.facts import PAUSES_S, Logs
from ops.operate.stack import StackUnavailable

NOW_MS = 1_800_000_000_000


def refused(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "FilterLogEvents")


class Client:
    """CloudWatch Logs, which gives a page with one fact after each of these errors, and then empty ones."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.pages = list(errors), 0

    def filter_log_events(self, **asked: Any) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        self.pages += 1
        line = json.dumps({"fact": "breaker", "is_open": self.pages % 2 == 0})
        events = [{"timestamp": NOW_MS + self.pages, "message": line, "eventId": str(self.pages)}]
        return {"events": events, "nextToken": "more"} if self.pages == 1 else {"events": events}


def followed(client: Client) -> tuple[list[int], list[float]]:
    waits: list[float] = []
    logs = Logs(client, {"ingest": "an-ingest"})
    told = list(tail.follow(logs, tail.Wanted(), since_ms=0, looks=1, sleep=waits.append))
    return [one.at_ms - NOW_MS for one in told], waits


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (refused("ThrottlingException", 400), "ThrottlingException"),
        (refused("LimitExceededException", 400), "LimitExceededException"),
        (refused("ServiceUnavailableException", 503), "ServiceUnavailableException"),
        (refused("InternalFailure", 500), "InternalFailure"),
        (EndpointConnectionError(endpoint_url="https://logs.example"), "EndpointConnectionError"),
    ],
)
def test_a_call_that_is_not_taken_now_is_made_again(
    error: Exception, cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is left out, and who looks is told that it waits, and why: it may be the network here."""
    assert followed(Client(error, error)) == ([1, 2], list(PAUSES_S[:2]))
    assert f"({cause}): it is asked again in 2 s" in capsys.readouterr().err


def test_the_waits_grow_and_are_bounded() -> None:
    """However long it lasts, a call is made every half minute."""
    _, waits = followed(Client(*[refused("ThrottlingException", 400)] * 9))
    assert waits == [*PAUSES_S, *[PAUSES_S[-1]] * (9 - len(PAUSES_S))]


@pytest.mark.parametrize("error", [refused("AccessDeniedException", 400), NoCredentialsError()])
def test_what_no_waiting_mends_ends_it(error: Exception) -> None:
    """With what has to be done."""
    with pytest.raises(StackUnavailable):
        followed(Client(error))


def test_the_time_that_was_waited_is_not_a_look_s() -> None:
    """A look reads for a minute at most, and what it waited for beside that comes whole."""
    now_s = 0.0

    def wait(pause_s: float, _: str) -> None:
        nonlocal now_s
        now_s += 100 * pause_s

    logs = Logs(Client(*[refused("ThrottlingException", 400)] * 3), {"ingest": "an-ingest"})
    reading = facts.Reading()
    found = list(facts.read(logs, since_ms=0, reading=reading, clock=lambda: now_s, wait=wait))
    assert (len(found), reading.bounded_by) == (2, "")


def test_who_does_not_wait_hears_of_it() -> None:
    """A command that is given once says that it should be given again."""
    logs = Logs(Client(refused("ThrottlingException", 400)), {"ingest": "an-ingest"})
    with pytest.raises(StackUnavailable, match="give the same command again"):
        list(facts.read(logs, since_ms=0))
