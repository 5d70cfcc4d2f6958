"""Messages of the last release are on the queue when a worker goes live."""

import json
from pathlib import Path

import pytest
import simplejson

from shared.errors import NewerMessage, UndecodableMessage
from shared.message import READERS, READS, VERSION, Message, decode

MESSAGES = Path(__file__).parents[2] / "fixtures" / "messages"
KEPT = sorted(MESSAGES.glob("v*/*.json"))
LISTS = ("events", "user_profiles")


def test_messages_of_every_version_that_is_read_are_kept() -> None:
    """A reader without real messages of its release would be a guess; each way of encoding is among them."""
    assert {int(path.parent.name[1:]) for path in KEPT} == set(READS)
    first = [
        json.loads(body) for path in KEPT if path.parent.name == "v1" for body in json.loads(path.read_text())["bodies"]
    ]
    assert {body["encoding"] for body in first} == {"json", "zstd"}
    assert any(body["part"] != "1/1" for body in first)


def test_a_worker_reads_its_own_version_and_the_one_before() -> None:
    """What ingest of this release writes, and what is on the queue from the release before."""
    assert set(READS) == {VERSION, max(VERSION - 1, 1)}
    assert set(READERS) == set(READS)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_message_of_a_release_is_read_to_the_byte(path: Path) -> None:
    """Bodies as that release put them on the queue give the request as mParticle wrote it, numbers included."""
    kept = json.loads(path.read_text())
    messages = [decode(body) for body in kept["bodies"]]
    request = simplejson.loads(kept["request"], use_decimal=True)
    assert {message.id for message in messages} == {request["id"]}
    whole = dict(messages[0].payload)
    for name in LISTS:
        if name in request:
            whole[name] = [item for message in messages for item in message.payload[name]]
    ordered = {name: whole[name] for name in request}
    assert whole.keys() == request.keys()
    assert simplejson.dumps(ordered, use_decimal=True, separators=(",", ":"), ensure_ascii=False) == kept["request"]


def read_v2(envelope: dict[str, object]) -> Message:
    return Message(str(envelope["request"]), "1/1", "t", None, 1, {"from": "v2"})


def test_a_new_form_is_one_more_reader() -> None:
    """With a second reader a worker reads both forms, and names both where it meets a third."""
    readers = {**READERS, 2: read_v2}
    (body,) = json.loads(KEPT[0].read_text())["bodies"]
    assert decode(body, readers) == decode(body)
    assert decode('{"v": 2, "request": "r-1"}', readers).payload == {"from": "v2"}
    with pytest.raises(UndecodableMessage, match="its version is not 1 or 2: deploy a worker that reads it"):
        decode('{"v": 3}', readers)
    with pytest.raises(UndecodableMessage, match=r"can not be read \(KeyError\)"):
        decode('{"v": 2}', readers)


def test_a_version_of_a_later_release_is_told_apart() -> None:
    """A number above all that is read; below, it is of nobody any more."""
    for version, is_newer in ((VERSION + 1, True), (999, True), (0, False), (-1, False)):
        with pytest.raises(UndecodableMessage) as caught:
            decode(f'{{"v": {version}, "id": "r"}}')
        assert isinstance(caught.value, NewerMessage) is is_newer


@pytest.mark.parametrize("version", ["2", "true", "1.0", '"1"', "null", "[1]"])
def test_what_is_no_known_version_is_undecodable(version: str) -> None:
    """A number of another type is another version."""
    with pytest.raises(UndecodableMessage):
        decode(f'{{"v": {version}, "id": "r"}}')
