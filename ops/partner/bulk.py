"""What must hold of a partner's bulk calls: each item in them, the declared sizes, and answers read without raising."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from ops.partner.declaration import folder_of
from ops.partner.purity import Refused, Watch
from partners import Bulk, Delivery, Partner, Result
from shared.errors import raised_at
from testkit import rules
from testkit.rules import Fault

GARBAGE = (
    b"", b" ", b"<html>502</html>", b"\xff\xfe\x00", b"null", b"true", b"5", b'"text"', b"[]", b"{}", b"[null]",
    b"[[[]]]", b'{"errors": 7}', b'{"errors": {"items": null}}', b'[{"status": "brand_new"}]',
    b'{"results": [1, "2", null]}', b'{"unfinished": [', b"9" * 10_000, b"[" * 100_000,
)  # fmt: skip
"""Bodies that a proxy, an outage or a new version may send."""

STATUSES = (200, 207, 400, 429, 503)
NOT_NOW = frozenset({429, 503})
"""Statuses with which nothing arrived: the items can only wait, or be sent again without others."""

MOST_LEFT_OUT = 20
"""The most items of a full call that are left out of it, one by one: the last ones, which a limit would cut off."""


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
        limits = partner.limits.bulk.get(name)
        if limits is None:
            mend = f"declare it: Limits(bulk={{{name!r}: Bulk(items=100)}})"
            yield Fault("merge.undeclared", f"the bulk endpoint {name} is not declared in its limits", mend)
            continue
        kinds = {delivery.merge_kind for delivery, _ in group.values()}
        if limits.kinds and not kinds <= set(limits.kinds):
            mend = "name one of Bulk.kinds in each delivery's `merge_kind`: another one is not limited by itself"
            yield Fault("merge.kind", f"a delivery for {name} is of a kind that its limits do not declare", mend)
        call = _full_call(limits, list(group.values()))
        yield from _merges(partner, name, call, secrets, watch)
        yield from _reads(partner, [delivery for delivery, _ in call[:3]], watch)


def _one_of_each(keyed: Iterable[tuple[Delivery, str]]) -> Iterable[tuple[Delivery, str]]:
    """One delivery for each endpoint."""
    return {(one.method, one.url.partition("?")[0], one.merge): (one, key) for one, key in keyed}.values()


def _full_call(limits: Bulk, group: Sequence[tuple[Delivery, str]]) -> list[tuple[Delivery, str]]:
    """As many deliveries as one call may hold, as the worker packs them."""
    call: list[tuple[Delivery, str]] = []
    used, kinds = 0, Counter[str]()
    for delivery, key in group:
        if kinds[delivery.merge_kind] >= limits.most_of(delivery.merge_kind):
            continue
        if call and (len(call) >= limits.items or used + len(delivery.body) > limits.bytes):
            break
        used += len(delivery.body)
        kinds[delivery.merge_kind] += 1
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
    if len(call) > 1 and len(whole.body) > partner.limits.bulk[name].bytes:
        mend = "declare fewer bytes: the worker adds up the bodies, and the merged one is larger than their sum"
        yield Fault("merge.too_large", f"merged for {name}: the body has more bytes than are declared", mend)


def _reads(partner: Partner, deliveries: Sequence[Delivery], watch: Watch) -> Iterator[Fault]:
    for status, body in product(STATUSES, (*GARBAGE, json.dumps([{}] * len(deliveries)).encode())):
        shown = f"given {status} and {body if len(body) < 40 else body[:10] + b'...'!r}"
        try:
            with watch.over():
                said: Any = partner.read_response(deliveries, status, body)
                results = None if said is None else [Result(one) for one in said]
        except Exception as error:
            # With another status than 2xx the status decides, and nothing is lost.
            if status < 300 and not isinstance(error, Refused):
                where = raised_at(error, folder_of(partner))
                problem = f"read_response() raises {type(error).__name__} in {where}, {shown}"
                mend = "give None for what cannot be read: what raises dead-letters what has arrived"
                yield Fault("answer.raises", problem, mend)
                return
            continue
        if results is not None and len(results) != len(deliveries):
            problem = f"read_response() gives {len(results)} results for {len(deliveries)} deliveries, {shown}"
            yield Fault("answer.count", problem, "give one Result for each delivery, or None")
            return
        if status in NOT_NOW and not set(results or ()) <= {Result.RETRY, Result.AGAIN}:
            problem = f"read_response() finds something delivered or rejected, {shown}"
            yield Fault("answer.contradicts", problem, f"give RETRY or AGAIN for each, or None: {status} took nothing")
            return
