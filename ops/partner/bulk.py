"""What must hold of a partner's bulk calls: each item in them, the declared sizes, and answers read without raising."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ops.partner import rules
from ops.partner.declaration import folder_of, raised_at
from ops.partner.purity import Refused, Watch
from ops.partner.rules import Fault
from partners import Delivery, Partner, Result

GARBAGE = (
    b"", b" ", b"<html>502</html>", b"\xff\xfe\x00", b"null", b"true", b"5", b'"text"', b"[]", b"{}", b"[null]",
    b"[[[]]]", b'{"errors": 7}', b'{"errors": {"items": null}}', b'[{"status": "brand_new"}]',
    b'{"results": [1, "2", null]}', b'{"unfinished": [', b"9" * 10_000, b"[" * 100_000,
)  # fmt: skip
"""Answers that a proxy, an outage or a new version may send with a 200."""

MOST_LEFT_OUT = 20
"""So many items of a full call are left out of it, one by one: the last ones, which a limit would cut off."""


def faults(
    partner: Partner, keyed: Sequence[tuple[Delivery, str]], secrets: Mapping[str, str], watch: Watch
) -> Iterator[Fault]:
    """What is wrong with merging the deliveries of one account, and with reading answers to them."""
    for delivery, _ in _one_of_each(keyed):
        yield from _reads(partner, [delivery], watch)
    groups: dict[str, dict[bytes, tuple[Delivery, str]]] = {}
    for delivery, key in keyed:
        if delivery.merge is not None:
            groups.setdefault(delivery.merge, {}).setdefault(delivery.body, (delivery, key))
    for name, group in groups.items():
        call = _full_call(partner, list(group.values()))
        yield from _merges(partner, name, call, secrets, watch)
        yield from _reads(partner, [delivery for delivery, _ in call[:3]], watch)


def _one_of_each(keyed: Iterable[tuple[Delivery, str]]) -> Iterable[tuple[Delivery, str]]:
    """One delivery for each endpoint."""
    return {(one.method, one.url.partition("?")[0], one.merge): (one, key) for one, key in keyed}.values()


def _full_call(partner: Partner, group: Sequence[tuple[Delivery, str]]) -> list[tuple[Delivery, str]]:
    """As many as one call may hold, as the worker packs them."""
    call: list[tuple[Delivery, str]] = []
    used = 0
    for delivery, key in group:
        used += len(delivery.body)
        if call and (len(call) >= partner.limits.bulk_items or used > partner.limits.bulk_bytes):
            break
        call.append((delivery, key))
    return call


def _merges(
    partner: Partner, name: str, call: list[tuple[Delivery, str]], secrets: Mapping[str, str], watch: Watch
) -> Iterator[Fault]:
    def merged(some: Sequence[tuple[Delivery, str]]) -> Delivery:
        with watch.over():
            return partner.merge([delivery for delivery, _ in some], [key for _, key in some])

    try:
        whole, again = merged(call), merged(call)
        left_out = [*range(len(call))][-MOST_LEFT_OUT:] if len(call) > 1 else []
        parts = [merged([*call[:index], *call[index + 1 :]]) for index in left_out]
    except Exception as error:
        if not isinstance(error, Refused):
            where = raised_at(error, folder_of(partner))
            mend = f"take whatever deliveries() gives `merge={name!r}`"
            yield Fault("merge.raises", f"merge() raises {type(error).__name__} for {name}, in {where}", mend)
        return
    found = list(rules.faults(whole, secrets))
    yield from (Fault(f"merge.{one.id}", f"merged for {name}: {one.problem}", one.mend) for one in found)
    if any(one.id == "delivery.type" for one in found):
        return
    if whole != again:
        yield Fault(
            "merge.differs",
            f"merged twice, {name} gives different calls",
            "keep merge() pure: the same deliveries, the same call",
        )
    if any(part.body == whole.body for part in parts):
        mend = "put every delivery's content into the call: what is left out counts as delivered"
        yield Fault("merge.loses", f"merged for {name}: a call is the same without one of its items", mend)
    if len(call) > 1 and len(whole.body) > partner.limits.bulk_bytes:
        mend = "declare fewer bulk_bytes: the worker adds up the bodies, and the merged one is larger than their sum"
        yield Fault("merge.too_large", f"merged for {name}: the body is over bulk_bytes", mend)


def _reads(partner: Partner, deliveries: Sequence[Delivery], watch: Watch) -> Iterator[Fault]:
    for body in (*GARBAGE, json.dumps([{}] * len(deliveries)).encode()):
        shown = repr(body if len(body) < 40 else body[:10] + b"...")
        try:
            with watch.over():
                results: Any = partner.read_response(deliveries, body)
                results = None if results is None else [Result(one) for one in results]
        except Exception as error:
            if not isinstance(error, Refused):
                where = raised_at(error, folder_of(partner))
                problem = f"read_response() raises {type(error).__name__} in {where}, given {shown}"
                yield Fault("answer.raises", problem, "give None for what cannot be read: an answer may be anything")
            return
        if results is not None and len(results) != len(deliveries):
            problem = f"read_response() gives {len(results)} results for {len(deliveries)} deliveries, given {shown}"
            yield Fault("answer.count", problem, "give one Result for each delivery, or None")
            return
