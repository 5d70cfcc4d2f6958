"""Which deliveries are sent in one bulk call, and how many calls are still to be made."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from partners import Bulk, Delivery, Partner
from shared.idempotency import key_of
from worker_fn.dispatch.lanes import Dispatch, together

EVERYBODY = object()
"""Stands for all accounts; None is the account of messages without one."""


@dataclass(slots=True)
class _Call:
    """A bulk call that is being filled."""

    items: list[Dispatch] = field(default_factory=list)
    bytes: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def takes(self, item: Dispatch, limits: Bulk) -> bool:
        size, kind = len(item.delivery.body), item.delivery.merge_kind
        return (
            len(self.items) < limits.items
            and self.bytes + size <= limits.bytes
            and self.kinds[kind] < limits.most_of(kind)
        )

    def takes_all(self, head: Sequence[Dispatch], limits: Bulk) -> bool:
        size = self.bytes + sum(len(item.delivery.body) for item in head)
        kinds = self.kinds + Counter(item.delivery.merge_kind for item in head)
        is_within = len(self.items) + len(head) <= limits.items and size <= limits.bytes
        return is_within and all(count <= limits.most_of(kind) for kind, count in kinds.items())

    def add(self, item: Dispatch) -> None:
        self.items.append(item)
        self.bytes += len(item.delivery.body)
        self.kinds[item.delivery.merge_kind] += 1


def packed(heads: Sequence[Sequence[Dispatch]], bulk: Mapping[str, Bulk]) -> list[list[Dispatch]]:
    """Put the heads of an account's lanes into as few calls as the bulk limits allow.

    Items of a head that do not fit into the call of its first item wait for the next round: their order must hold
    whatever becomes of the call. So a head is divided only where that saves a call, those of the next round counted.
    """
    whole = _packed(heads, bulk, divides=False)
    if len(whole) <= _fewest(whole, bulk):
        return whole
    divided = _packed(heads, bulk, divides=True)
    sent = {id(item) for items in divided for item in items}
    left = [[item for item in items if id(item) not in sent] for items in whole]
    return whole if len(whole) <= len(divided) + _fewest(list(filter(None, left)), bulk) else divided


def _packed(heads: Iterable[Sequence[Dispatch]], bulk: Mapping[str, Bulk], *, divides: bool) -> list[list[Dispatch]]:
    calls: list[list[Dispatch]] = []
    open_calls: dict[tuple[object, ...], _Call] = {}
    for head in heads:
        first = head[0]
        if first.delivery.merge is None or first.alone:
            calls.append([first])
            continue
        limits, alike = bulk[first.delivery.merge], together(first.delivery)
        call = open_calls.get(alike)
        if call is not None and not divides and not call.takes_all(head, limits):
            call = None
        for item in head:
            if call is None or not call.takes(item, limits):
                if item is not first:
                    break
                call = open_calls[alike] = _Call()
                calls.append(call.items)
            call.add(item)
    return calls


def _fewest(calls: Sequence[Sequence[Dispatch]], bulk: Mapping[str, Bulk]) -> int:
    """How many calls these calls' items would need if each call were full."""
    if len(calls) <= 1:  # as nearly always
        return len(calls)
    fewest, wholes = 0, defaultdict[tuple[object, ...], _Call](_Call)
    for items in calls:
        first = items[0].delivery
        if first.merge is None or items[0].alone:
            fewest += 1
            continue
        whole = wholes[together(first)]
        for item in items:
            whole.add(item)
    for whole in wholes.values():
        limits = bulk[str(whole.items[0].delivery.merge)]
        fewest += max(limits.calls_for(whole.kinds), ceil(whole.bytes / limits.bytes))
    return fewest


def merged(partner: Partner, items: Sequence[Dispatch]) -> tuple[Delivery, str]:
    """The deliveries of one call as a single delivery, and its idempotency key. Raises ValueError if the partner's code
    cannot merge them.
    """
    if len(items) == 1:
        return items[0].delivery, items[0].key
    keys = [item.key for item in items]
    try:
        delivery = partner.merge([item.delivery for item in items], keys)
    except Exception as error:  # a partner's code may raise anything
        raise ValueError(type(error).__name__) from None
    return delivery, key_of(*keys)


class CallsLeft:
    """How many calls a batch still has to make in its rounds, if every bulk call is full."""

    def __init__(self, bulk: Mapping[str, Bulk]) -> None:
        self._bulk = bulk
        self._items: defaultdict[tuple[object, str | None], Counter[str]] = defaultdict(Counter)
        """The number of items by account (or EVERYBODY) and bulk endpoint, and then by their kind at the endpoint."""

    def expect(self, account_id: str | None, items: Iterable[Dispatch], count: int = 1) -> None:
        """Add items of a round that begins to those that are under way."""
        for item in items:
            for whose in (EVERYBODY, account_id):
                self._items[whose, item.delivery.merge][item.delivery.merge_kind] += count

    def done(self, account_id: str | None, items: Iterable[Dispatch]) -> None:
        """Remove items that need no further call."""
        self.expect(account_id, items, -1)

    def count(self) -> int:
        """The calls that are left, to all endpoints and of all accounts."""
        return sum([self.count_of(EVERYBODY, endpoint) for endpoint in (None, *self._bulk)])

    def count_of(self, whose: object, endpoint: str | None) -> int:
        """The calls that are left of an account (or EVERYBODY) to a bulk endpoint; None: to any other URL."""
        kinds = self._items[whose, endpoint]
        return kinds.total() if endpoint is None else self._bulk[endpoint].calls_for(kinds)
