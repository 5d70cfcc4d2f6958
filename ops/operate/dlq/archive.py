"""Letters in a file: NDJSON, gzipped, a letter a line, with body and attributes as they are in the queue.

    {"v": 1, "id": "...", "sent_ms": 1790000000000, "group_id": "7", "attributes": {"reason": {...}}, "body": "..."}

The file holds people's data and customers' keys, so only its owner may read it (0600).
"""

import base64
import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from ops.operate.dlq.letters import Letter
from shared.errors import InvalidSettings
from shared.queue.attributes import MAX_BATCH_BYTES

VERSION = 1
MAX_LINE_BYTES = 12 * MAX_BATCH_BYTES
"""A body of a mebibyte, written in ASCII."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no letter, and why, without any of its content."""

    number: int
    why: str


class Archive:
    """Writes letters. Flushed letters are a whole file, whatever becomes of the process: a flush ends a gzip member."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._member: gzip.GzipFile | None = None
        self.letters = 0

    @classmethod
    def at(cls, path: Path) -> Self:
        """Begin a new file. Raises InvalidSettings if it cannot be made, or is there already."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b"))
        except OSError as error:
            if isinstance(error, FileExistsError) and error.filename == str(path):
                raise InvalidSettings(f"{path} is there already: name another file") from None
            raise InvalidSettings(f"{path} cannot be written: {error.strerror}") from None

    @classmethod
    def passing(cls) -> Self:
        """A file without a name, for letters that are read twice: it goes with the process, however that ends."""
        return cls(tempfile.TemporaryFile())

    def write(self, letter: Letter) -> None:
        """Write a letter, buffered. Raises InvalidSettings if the disk is full."""
        with _on_disk():
            if self._member is None:
                self._member = gzip.GzipFile(fileobj=self._file, mode="wb", compresslevel=1, mtime=0)
            self._member.write(as_line(letter))
        self.letters += 1

    def flush(self) -> None:
        """Write the buffer to the disk. Raises InvalidSettings if that is full."""
        with _on_disk():
            if self._member is not None:
                member, self._member = self._member, None
                member.close()
            self._file.flush()
            os.fsync(self._file.fileno())

    def read(self) -> Iterator[Letter]:
        """The letters that were written."""
        self.flush()
        self._file.seek(0)
        yield from (one for one in letters_of(self._file) if isinstance(one, Letter))
        self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the file. Raises InvalidSettings if the disk is full."""
        try:
            self.flush()
        finally:
            with suppress(OSError):  # of a full disk once more
                self._file.close()


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidSettings(f"the export cannot be written: {error.strerror}") from None


def as_line(letter: Letter) -> bytes:
    document = {
        "v": VERSION,
        "id": letter.id,
        "sent_ms": letter.sent_ms,
        "group_id": letter.group_id,
        "attributes": {name: _written(one) for name, one in letter.attributes.items()},
        "body": letter.body,
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def letters_in(path: Path) -> Iterator[Letter | BadLine]:
    """Read a file, a line at a time. Raises InvalidSettings for one that is no such file at all."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidSettings(f"{path} cannot be read: {error.strerror}") from None
    with file:
        yield from letters_of(file, str(path))


def letters_of(file: IO[bytes], name: str = "the export") -> Iterator[Letter | BadLine]:
    """Read letters from an open file. From a file that was cut off it gives the whole letters, and says so last."""
    number = 0
    with gzip.GzipFile(fileobj=file, mode="rb") as lines:
        while True:
            number += 1
            try:
                line = lines.readline(MAX_LINE_BYTES + 1)
            except EOFError:
                yield BadLine(number, "the file ends here, cut off")
                return
            except (OSError, zlib.error):
                if number == 1:
                    raise InvalidSettings(f"{name} is no gzip file, or is damaged") from None
                yield BadLine(number, "the file is damaged from here on")
                return
            if not line:
                return
            if len(line) > MAX_LINE_BYTES:
                yield BadLine(number, f"longer than {MAX_LINE_BYTES:,} bytes; nothing after it is read")
                return
            if line.strip():
                yield _letter(line, number)


def _letter(line: bytes, number: int) -> Letter | BadLine:
    try:
        found = json.loads(line)
        if found["v"] != VERSION or not isinstance(found["body"], str) or not isinstance(found["id"], str):
            return BadLine(number, "no letter of an export")
        group_id, sent_ms = found.get("group_id"), found.get("sent_ms", 0)
        if not found["body"] or not found["id"] or not isinstance(sent_ms, int):
            return BadLine(number, "no letter of an export")
        json.dumps(found, ensure_ascii=False).encode()  # SQS takes no lone surrogate, wherever it stands
        return Letter(
            id=found["id"],
            body=found["body"],
            attributes={str(name): _read(one) for name, one in found.get("attributes", {}).items()},
            sent_ms=sent_ms,
            group_id=group_id if isinstance(group_id, str) else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return BadLine(number, "no letter of an export")


def _written(one: Mapping[str, Any]) -> dict[str, str]:
    value = {"binary": base64.b64encode(one["BinaryValue"]).decode()} if "BinaryValue" in one else {}
    return {"type": one["DataType"], **(value or {"value": one.get("StringValue", "")})}


def _read(one: Mapping[str, Any]) -> dict[str, Any]:
    if "binary" in one:
        return {"DataType": str(one["type"]), "BinaryValue": base64.b64decode(one["binary"], validate=True)}
    return {"DataType": str(one["type"]), "StringValue": str(one["value"])}
