"""A partner's mapping of a request, alone, and the check of every call."""

import codecs
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from partners import Delivery, LeftOut, Partner
from shared.firehose import Request, parse_request
from shared.json_text import MAX_DEPTH, loads
from shared.message import decode, encode, head_of, to_json
from testkit.clock import EPOCH_S
from testkit.partner_api import Call
from testkit.requests import make_request
from testkit.rules import faults

BEGINS_MS = int(EPOCH_S * 1_000)
"""When every message was received and sent."""


def request(
    kind: str = "event_processing_request",
    *,
    seed: int = 1,
    events: int | Sequence[Mapping[str, Any]] | None = None,
    environment: str | None = None,
    account_id: int = 7,
    settings: Mapping[str, str] | None = None,
    **fields: Any,
) -> Request:
    """Make a valid request of a kind, as `spillway sample` prints it; `events` is a number, or the events themselves.

    `settings` are account settings, `fields` replace fields of the request: `user_identities=[...]`, or None to leave
    one out.
    """
    count = events if events is None or isinstance(events, int) else len(events)
    made = make_request(
        kind, seed=seed, events=count, environment=environment, account_id=account_id, settings=settings
    )
    if events is not None and not isinstance(events, int):
        made["events"] = list(events)
    return _as_received({**made, **fields})


def read_request(file: Path) -> Request:
    """Read a request from a JSON file."""
    return _as_received(loads(file.read_bytes().removeprefix(codecs.BOM_UTF8)))


def body_of_request(content: Mapping[str, Any]) -> str:
    """The queue message that a request becomes."""
    text = to_json(content)
    return encode(head_of(content, text, received_at_ms=BEGINS_MS), text)[0]


def mapped(partner: Partner, request: Request) -> list[Delivery]:
    """Map a request: the calls, without what is left out."""
    return [one for one in partner.deliveries(request) if isinstance(one, Delivery)]


def left_out(partner: Partner, request: Request) -> list[tuple[str, str]]:
    """The parts of a request that become no call: the item's name, and why."""
    return [(one.item, one.why) for one in partner.deliveries(request) if isinstance(one, LeftOut)]


def json_of(sent: Delivery | Call) -> Any:
    """The JSON in a body, decimals as Decimal."""
    return loads(sent.body, depth=2 * MAX_DEPTH)


def assert_sound(deliveries: Iterable[Delivery], *, secrets: Iterable[str] = ()) -> None:
    """Fail if a call is wrong, and say how: URL, headers, a body that does not fit its type, or a secret (a value of at
    least eight characters) anywhere but in secret headers.
    """
    named = {f"secret {number}": value for number, value in enumerate(secrets, start=1)}
    for number, delivery in enumerate(deliveries, start=1):
        found = [f"delivery {number}: {one.problem}. {one.mend}" for one in faults(delivery, named)]
        if found:
            raise AssertionError("\n".join(found))


def _as_received(content: Mapping[str, Any]) -> Request:
    """The request as the worker sees it: through the queue's message, numbers exact."""
    return parse_request(decode(body_of_request(content)).payload)
