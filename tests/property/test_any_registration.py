"""Whatever JSON calls itself a registration, it is explained, and never fails the tool."""

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ops.console.findings import passed
from ops.registration.check import check_document, read_response
from ops.registration.declared import written
from ops.registration.diff import changes, felt

FIXTURE = Path(__file__).parents[1] / "fixtures" / "firehose" / "module_registration_response.json"
GOOD: dict[str, Any] = json.loads(FIXTURE.read_bytes())

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
FIELDS = st.sampled_from(["type", "id", "name", "required", "text", "0", "", "scopes", "min_value", "default_value"])
ANY_JSON = st.recursive(
    SCALARS, lambda inside: st.lists(inside, max_size=3) | st.dictionaries(FIELDS, inside, max_size=3), max_leaves=6
)


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A whole registration in which a few places hold something else, more, or nothing."""
    document = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        holder: Any = document
        while True:
            keys = list(range(len(holder))) if isinstance(holder, list) else list(holder)
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(holder[key], dict | list) and draw(st.booleans()):
                holder = holder[key]
                continue
            if draw(st.booleans()):
                holder[key] = draw(ANY_JSON)
            else:
                del holder[key]
            break
        if isinstance(holder, dict) and draw(st.booleans()):
            holder[draw(FIELDS)] = draw(ANY_JSON)
    return document


@given(damaged())
def test_any_registration_is_explained(document: dict[str, Any]) -> None:
    """Each finding is a sentence with a mend; what has passed can be read and compared with itself."""
    before = copy.deepcopy(document)
    found = check_document(document)
    assert document == before
    for one in found:
        assert one.id
        assert one.message.endswith("."), one
        assert one.mend
    response, form = read_response(document)
    assert (response is None) == (not passed(form))
    if response is not None:
        same = written(response.registration())
        assert changes(same, same) == []


@given(damaged(), damaged())
def test_any_two_registrations_are_compared(old: dict[str, Any], new: dict[str, Any]) -> None:
    """There and back the same things change, the other way round; what never changed is not felt."""
    one, other = (read_response(document)[0] for document in (old, new))
    if one is None or other is None:
        return
    there = changes(written(one.registration()), written(other.registration()))
    back = changes(written(other.registration()), written(one.registration()))
    assert {(c.thing, c.sign) for c in there} == {(c.thing, c.sign.translate({43: 45, 45: 43})) for c in back}
    felt(there, same_version=False)
