"""Deliveries in the order in which they may go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from partners import Bulk, Delivery
from worker_fn.accounts.auth_failures import Credential
from worker_fn.accounts.fingerprint import NO_SECRETS
from worker_fn.dispatch.classify import Outcome, Verdict


@dataclass(slots=True)
class Dispatch:
    """One delivery on its way, and its outcome, which is None until it was sent."""

    delivery: Delivery
    key: str
    outcome: Outcome | None = None
    calls: list[int] = field(default_factory=list)
    """The numbers of this batch's calls that carried it; calls that were merely pushed back are left out."""
    again: list[int] = field(default_factory=list)
    """The numbers of calls that were refused because of another item: they are no attempts of its own."""
    alone: bool = False
    """The delivery is sent alone, even to a bulk endpoint: another item's fault must not be its end."""
    of: tuple[str, str] = ("", "")
    """The ids of its request and of its message, for the log."""
    fingerprint: str = NO_SECRETS
    """The fingerprint of the credentials that it carries."""

    @property
    def attempts(self) -> int:
        return len(self.calls)

    @property
    def is_refused(self) -> bool:
        """Whether its credentials were refused."""
        return self.outcome is not None and self.outcome.verdict is Verdict.UNAUTHORIZED

    @property
    def waits(self) -> bool:
        return self.outcome is not None and self.outcome.verdict in {Verdict.RETRY, Verdict.UNAUTHORIZED}


@dataclass(slots=True)
class Lane:
    """Deliveries of one account that go one after the other: a message's, or several messages' where those have an
    order. A lane stops at the first that must wait.
    """

    account_id: str | None
    items: list[Dispatch]
    next: int = 0

    @property
    def is_open(self) -> bool:
        return self.next < len(self.items)

    def head(self, bulk: Mapping[str, Bulk]) -> list[Dispatch]:
        """The next item, and those behind it that the same bulk call could carry."""
        first = self.items[self.next]
        run = [first]
        if first.delivery.merge is not None and not first.alone:
            most, alike = bulk[first.delivery.merge].items, together(first.delivery)
            for index in range(self.next + 1, len(self.items)):
                item = self.items[index]
                if len(run) >= most or item.waits or item.alone or together(item.delivery) != alike:
                    break
                if item.outcome is None:
                    run.append(item)
        return run

    def advance(self) -> None:
        """Go past settled items; stop for good at one that must wait."""
        while self.is_open and (outcome := self.items[self.next].outcome) is not None:
            self.next = len(self.items) if holds_up(outcome, self.account_id) else self.next + 1


def holds_up(outcome: Outcome | None, account_id: str | None) -> bool:
    """Whether the deliveries behind this one in its lane have to wait, because this one will be sent again."""
    is_refused = outcome is not None and outcome.verdict is Verdict.UNAUTHORIZED
    return outcome is None or outcome.verdict is Verdict.RETRY or (is_refused and account_id is not None)


def together(delivery: Delivery) -> tuple[object, ...]:
    """The properties that deliveries must have in common to be sent in one call: host and credentials too, because a
    customer may have changed them.
    """
    secrets = (*delivery.secret_headers.items(), *delivery.secret_fields.items(), delivery.sign_with)
    login = tuple(value for name, value in delivery.headers.items() if str(name).lower() == "authorization")
    return delivery.merge, delivery.merge_group, urlsplit(delivery.url).netloc.lower(), secrets, login


def credential_of(item: Dispatch, account_id: str | None) -> Credential | None:
    """The credential that a delivery uses; None without an account, because it would belong to nobody."""
    return None if account_id is None else Credential(account_id, item.fingerprint)
