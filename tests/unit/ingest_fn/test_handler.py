import gc
import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_fn import handler as entry
from ingest_fn.payload import read
from shared.errors import InvalidRequest, InvalidSettings, QueueUnavailable
from shared.queue import Sender


class Context:
    aws_request_id = "invocation-1"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("QUEUE_URL", "http://localhost:4566/000000000000/q")
    monkeypatch.setenv("STATE_TABLE", "state")
    monkeypatch.setenv("STAGE", "test")
    for cached in (entry._settings, entry._queue, entry._suspended, entry._receipts, entry._function_url):
        cached.cache_clear()
    yield
    for cached in (entry._settings, entry._queue, entry._suspended, entry._receipts, entry._function_url):
        cached.cache_clear()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_no_garbage_is_looked_for_while_a_large_request_is_read() -> None:
    """Twenty thousand events, each an object with a list, and not one collection."""
    text = b'{"type":"event_processing_request","events":[%s]}' % b",".join([b'{"a":[{"b":1}]}'] * 20_000)
    began: list[dict[str, int]] = []

    def note(phase: str, details: dict[str, int]) -> None:
        began.extend([details] if phase == "start" else [])

    gc.collect()
    gc.callbacks.append(note)
    try:
        request = read(text)
    finally:
        gc.callbacks.remove(note)
    assert (len(request["events"]), began) == (20_000, [])


def test_bad_request_is_logged_counted_and_raised_without_its_payload(capsys: pytest.CaptureFixture[str]) -> None:
    """The field is named in the log and in the error, the metric counts it, the payload is nowhere."""
    request = {"type": "event_processing_request", "events": {"email": "canary@example.com"}}
    with pytest.raises(InvalidRequest) as raised:
        entry.handler(request, Context())
    shown = "".join(traceback.format_exception(raised.value))
    logged, metric = lines(capsys)
    assert "canary" not in shown + json.dumps(logged)
    assert (logged["where"], logged["function_request_id"]) == ("events", "invocation-1")
    assert (metric["InvalidRequest"], metric["stage"]) == (1, "test")


def test_queue_trouble_is_logged_and_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that does not take the message fails the invocation and is counted as such."""

    def refuse(*_: object) -> None:
        raise QueueUnavailable("the queue did not take the message (TimeoutError)")

    monkeypatch.setattr(Sender, "send", refuse)
    with pytest.raises(QueueUnavailable):
        entry.handler({"type": "dsr_processing_request"}, Context())
    _, metric = lines(capsys)
    assert metric["QueueUnavailable"] == 1


def test_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment without a queue says which variable is missing."""
    monkeypatch.delenv("QUEUE_URL")
    with pytest.raises(InvalidSettings, match="QUEUE_URL"):
        entry.handler({"type": "dsr_processing_request"}, Context())


DECLARATION = """\
from partners import Partner
from shared.firehose import *

class Velo(Partner):
    name = "velo"

    def deliveries(self, request):
        return ()

    def registration(self):
        return Registration(name="Velo", version="1.6.0", description="x" * 230)
"""


def test_a_registration_that_was_deployed_by_force_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A declaration that breaks a rule is refused at the deploy, or told as it is."""
    (tmp_path / "velo_by_force.py").write_text(DECLARATION)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PARTNER", "velo_by_force")
    answer = entry.handler({"type": "module_registration_request", "id": "r-1"}, Context())
    assert (answer["name"], len(answer["description"])) == ("Velo", 230)


def test_an_accepted_request_is_told_without_anything_of_what_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its line has ids and sizes; canaries in identities, attributes, names and settings stand in no line."""
    monkeypatch.setattr(Sender, "send", lambda *_: ["m-1"])
    entry._figures.cache_clear()
    request = {
        "type": "event_processing_request",
        "id": "r-1",
        "account": {"account_id": 7, "account_settings": {"apiKey": "canary"}},
        "user_identities": [{"type": "email", "identity": "canary@example.com"}],
        "user_attributes": {"canary": "canary"},
        "events": [{"type": "custom_event", "name": "canary"}],
    }
    entry.handler(request, Context())
    [told] = lines(capsys)
    assert "canary" not in json.dumps(told)
    assert (told["fact"], told["request_id"], told["messages"], told["events"]) == ("accepted", "r-1", ["m-1"], 1)
