import gzip
import io
import json
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.operate.dlq.archive import Archive, BadLine, as_line, letters_in, letters_of
from ops.operate.dlq.imports import Import, counted
from ops.operate.dlq.letters import Letter
from ops.operate.dlq.pace import Pacer
from ops.operate.dlq.queues import LetterQueue
from shared.errors import InvalidSettings
from tests.fakes.clock import Clock
from tests.fakes.sqs import Killed, MemorySqs

LETTER = Letter(
    "i",
    "body \u0000 \u20ac \U0001f600",
    {"reason": {"DataType": "String", "StringValue": "rejected"}, "b": {"DataType": "Binary", "BinaryValue": b"\x00"}},
    5,
    "7",
)


def test_a_letter_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Body and attributes, binary ones too; the file is its owner's alone."""
    path = tmp_path / "new" / "x.ndjson.gz"
    archive = Archive.at(path)
    archive.write(LETTER)
    archive.close()
    assert list(letters_in(path)) == [LETTER]
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InvalidSettings, match="is there already"):
        Archive.at(path)


def test_what_was_flushed_is_a_whole_file(tmp_path: Path) -> None:
    """Whatever becomes of the process; and it is gone on with."""
    path = tmp_path / "x.gz"
    archive = Archive.at(path)
    for number in range(3):
        archive.write(LETTER)
        archive.flush()
        assert len(list(letters_in(path))) == number + 1
        assert len(list(archive.read())) == number + 1
    archive.close()
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 3


def test_a_full_disk_is_said_in_a_line_wherever_it_is_met() -> None:
    """What is written is compressed and kept for a while: the disk is full with any letter, or at the end."""

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > 30:
                raise OSError(28, "No space left on device")
            return super().write(data)

    large, small = Archive(Full()), Archive(Full())
    with pytest.raises(InvalidSettings, match="cannot be written: No space left"):
        large.write(replace(LETTER, body=random.Random(1).randbytes(500_000).hex()))
    small.write(LETTER)
    with pytest.raises(InvalidSettings, match="cannot be written: No space left"):
        small.close()


def test_a_folder_that_is_a_file_is_no_export_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidSettings, match="cannot be written"):
        Archive.at(tmp_path / "file" / "x.gz")


def test_an_empty_export_is_read_as_empty(tmp_path: Path) -> None:
    Archive.at(tmp_path / "x.gz").close()
    assert list(letters_in(tmp_path / "x.gz")) == []


def test_a_file_that_was_cut_off_gives_what_is_whole_of_it(tmp_path: Path) -> None:
    lines = b"".join(as_line(Letter(f"i{n}", "b" * 3_000 + str(n))) for n in range(500))
    whole = gzip.compress(lines)
    path = tmp_path / "x.gz"
    path.write_bytes(whole[: len(whole) // 2])
    *letters, last = letters_in(path)
    assert letters
    assert all(isinstance(one, Letter) for one in letters)
    assert isinstance(last, BadLine)


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"[]", b"5", b"null", b'"x"', b"{}", b'{"v":2}', b"\xff", b"[" * 50_000,
        json.dumps({"v": 1, "id": "", "body": "b"}).encode(),
        json.dumps({"v": 1, "id": "i", "body": ""}).encode(),
        json.dumps({"v": 1, "id": "i", "body": 5}).encode(),
        json.dumps({"v": 1, "id": "i", "body": "b", "attributes": []}).encode(),
        json.dumps({"v": 1, "id": "i", "body": "b", "attributes": {"a": 5}}).encode(),
        json.dumps({"v": 1, "id": "i", "body": "b", "attributes": {"a": {"type": "Binary", "binary": "?"}}}).encode(),
        b'{"v":1,"id":"i","body":"\\ud800"}',
        b'{"v":1,"id":"\\ud800","body":"b"}',
        b'{"v":1,"id":"i","body":"b","group_id":"\\ud800"}',
        b'{"v":1,"id":"i","body":"b","attributes":{"\\ud800":{"type":"String","value":"x"}}}',
        b'{"v":1,"id":"i","body":"b","attributes":{"a":{"type":"\\ud800","value":"x"}}}',
        b'{"v":1,"id":"i","body":"b","attributes":{"a":{"type":"String","value":"\\ud800"}}}',
    ],
)  # fmt: skip
def test_a_line_that_is_no_letter_ends_alone(line: bytes) -> None:
    """It is named by its number and by nothing of what it says; its neighbours are read."""
    good = as_line(LETTER)
    before, bad, after = letters_of(io.BytesIO(gzip.compress(good + line + b"\n" + good)))
    assert (before, after) == (LETTER, LETTER)
    assert bad == BadLine(2, "no letter of an export")


def test_a_file_that_inflates_without_end_is_read_in_bounds() -> None:
    """A line is bounded: a gigabyte of zeros is a megabyte of gzip."""
    found = list(letters_of(io.BytesIO(gzip.compress(b"0" * 40_000_000))))
    assert len(found) == 1
    assert isinstance(found[0], BadLine)


@pytest.mark.parametrize("content", [b"no gzip", b"PK\x03\x04", b"\x1f\x8b"])
def test_what_is_no_such_file_is_refused_or_empty(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    if content.startswith(b"\x1f"):
        assert [type(one) for one in letters_in(path)] == [BadLine]
    else:
        with pytest.raises(InvalidSettings, match="is no gzip file"):
            list(letters_in(path))
    with pytest.raises(InvalidSettings, match="cannot be read"):
        list(letters_in(tmp_path / "nowhere"))


# --- import ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "x.gz"
    archive = Archive.at(path)
    for number in range(35):
        said: Any = {"reason": {"DataType": "String", "StringValue": "rejected"}}
        archive.write(Letter(f"i{number}", f"b{number:02d}", said))
    archive.close()
    return path


def job(export: Path, sqs: MemorySqs, url: str, clock: Clock) -> Import:
    pacer = Pacer(100, clock=clock, sleep=clock.sleep)
    return Import(export, LetterQueue(sqs, url), pacer, clock.now_ms, lambda: False, lambda _: None)


@pytest.mark.parametrize("dies_at", range(1, 9))
def test_an_import_goes_on_where_it_was_killed(export: Path, dies_at: int) -> None:
    """Into the main queue: what was sent is noted after each batch, so ten letters are doubled at most."""
    clock = Clock()
    sqs = MemorySqs(clock)
    sqs.dies = lambda call: ("before", "after")[dies_at % 2] if call == dies_at else ""
    with suppress(Killed):
        job(export, sqs, "main", clock).into_queue()
    sqs.revive()
    done = job(export, sqs, "main", clock).into_queue()
    assert done.sent + done.there == 35
    assert set(sqs.bodies("main")) == {f"b{number:02d}" for number in range(35)}
    assert len(sqs.bodies("main")) <= 45
    assert job(export, sqs, "main", clock).into_queue().sent == 0
    (found, *_) = LetterQueue(sqs, "main").receive(1)
    assert found.said("history") == "1 rejected"


def test_an_import_into_dead_letters_leaves_out_what_is_there(export: Path) -> None:
    """Known by its body: SQS gives it another id. What was delivered since may come again."""
    clock = Clock()
    sqs = MemorySqs(clock)
    sqs.put("dlq", "b07")
    done = job(export, sqs, "dlq", clock).into_dead_letters(clock)
    assert (done.sent, done.there) == (34, 1)
    assert sorted(sqs.bodies("dlq")) == [f"b{number:02d}" for number in range(35)]
    assert sqs.hidden("dlq") == 0
    assert job(export, sqs, "dlq", clock).into_dead_letters(clock).sent == 0


def test_bad_lines_are_counted_and_some_named(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(as_line(LETTER) + b"{}\n" * 50))
    bad, whole = counted(path)
    assert (len(bad), whole) == (20, 1)
