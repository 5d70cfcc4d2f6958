"""JSON as mParticle's SDK reads it: what `parse_request` does with text before it looks at a field.

As `shared.json_text`, and more tolerant about what is around the document: a byte order mark and UTF-16 are taken, and
text after the first complete document is ignored.
"""

import json
from typing import Any

from shared.json_text import DECODER, MAX_INT_DIGITS, MAX_VALUES, Number, check_depth, check_values, failure_as_invalid

__all__ = ["MAX_INT_DIGITS", "Number", "decode"]

_BOM = "\ufeff"
_BLANKS = " \t\r\n"


def decode(text: bytes | str) -> Any:
    """Decode one JSON document. Bytes are UTF-8; UTF-16 and UTF-32 are recognised, a byte order mark is skipped.

    Raises InvalidRequest for everything that cannot be decoded, and never quotes it.
    """
    with failure_as_invalid():
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text))
        check_values(text, MAX_VALUES)
        text = text.removeprefix(_BOM)
        content = DECODER.raw_decode(text.lstrip(_BLANKS))[0]
    check_depth(content)
    return content
