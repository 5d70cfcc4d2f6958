"""Where something was raised: file and line, and nothing of what was looked at."""

from pathlib import Path

from shared.errors import raised_at


def raised(line: str, file: str) -> Exception:
    """What the code of a file raises, on its third line."""
    try:
        exec(compile(f"\n\n{line}", file, "exec"), {})
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


def test_the_innermost_file_is_named() -> None:
    """Frames of no file, and those of Python's import, are none."""
    error = raised("exec('1 / 0')", "/srv/partners/acme.py")
    assert raised_at(error) == "acme.py:3"
    assert raised_at(ValueError()) == "unknown"


def test_a_frame_below_the_folder_is_preferred() -> None:
    """What a library raised is the fault of the line that called it; without such a line it is the library's."""
    error = raised("import json; json.loads('')", "/srv/partners/acme.py")
    assert raised_at(error).startswith("decoder.py:")
    assert raised_at(error, Path("/srv/partners")) == "acme.py:3"
    assert raised_at(error, Path("/srv/part")).startswith("decoder.py:")
