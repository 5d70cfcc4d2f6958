"""Which deliveries travel in one bulk call, and how many calls are still to be made."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from partners import Bulk, Delivery, Partner
from shared.idempotency import key_of
from worker_fn.dispatch.lanes import Dispatch, together


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

    def add(self, item: Dispatch) -> None:
        self.items.append(item)
        self.bytes += len(item.delivery.body)
        self.kinds[item.delivery.merge_kind] += 1


def packed(heads: Iterable[Sequence[Dispatch]], bulk: Mapping[str, Bulk]) -> list[list[Dispatch]]:
    """Put the heads of an account's lanes into as few calls as the bulk limits allow.

    Items of a head that do not fit into the call of its first item wait for the next round: their order must hold
    whatever becomes of the call.
    """
    calls: list[list[Dispatch]] = []
    open_calls: dict[tuple[object, ...], _Call] = {}
    for head in heads:
        first = head[0]
        if first.delivery.merge is None or first.alone:
            calls.append([first])
            continue
        limits, alike = bulk[first.delivery.merge], together(first.delivery)
        call = open_calls.get(alike)
        for item in head:
            if call is None or not call.takes(item, limits):
                if item is not first:
                    break
                call = open_calls[alike] = _Call()
                calls.append(call.items)
            call.add(item)
    return calls


def merged(partner: Partner, items: Sequence[Dispatch]) -> tuple[Delivery, str]:
    """One call of the deliveries that travel together, and its idempotency key. Raises ValueError where the partner's
    code can not merge them.
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
    """How many calls a batch still has to make in this round, if every bulk call is full."""

    def __init__(self, bulk: Mapping[str, Bulk]) -> None:
        self._bulk = bulk
        self._unsent: Counter[tuple[str | None, str | None, str]] = Counter()
        """Items by account, the bulk endpoint that takes them, and their kind there."""

    def expect(self, items: Iterable[tuple[str | None, Dispatch]]) -> None:
        """Begin a round with these items of these accounts."""
        self._unsent = Counter(_counted_as(account_id, item) for account_id, item in items)

    def done(self, account_id: str | None, items: Iterable[Dispatch]) -> None:
        """Items that need no call any more."""
        self._unsent.subtract(_counted_as(account_id, item) for item in items)

    def count(self, *of_account: str | None) -> int:
        """Of all, or of an account at an endpoint."""
        left: dict[str | None, Counter[str]] = {}
        for (account_id, name, kind), count in self._unsent.items():
            if not of_account or of_account == (account_id, name):
                left.setdefault(name, Counter())[kind] += count
        return sum(kinds.total() if name is None else self._bulk[name].calls_for(kinds) for name, kinds in left.items())


def _counted_as(account_id: str | None, item: Dispatch) -> tuple[str | None, str | None, str]:
    return account_id, item.delivery.merge, item.delivery.merge_kind
