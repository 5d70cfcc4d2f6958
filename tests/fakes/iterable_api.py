"""Iterable as far as its connector sees it: users, events, purchases, lists, and what it refuses.

Users are known by e-mail; who comes with a new address is created. What single calls refuse with a 400, bulk calls
refuse item by item within a 200.
"""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from partners import Delivery
from worker_fn.clients.http import Answer

MOST = {"users": 1_000, "events": 8_000}
MOST_BYTES = 4_000_000

REFUSED_NAME = "not allowed"
"""No project takes an event of this name."""


class FakeIterable:
    def __init__(self, *, fails: Callable[[int], Answer | None] = lambda _: None) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.events: dict[str, dict[str, Any]] = {}
        self.purchases: dict[str, dict[str, Any]] = {}
        self.lists: dict[int, set[str]] = {}
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.devices: dict[str, set[str]] = {}
        self.opens: list[tuple[str, int]] = []
        self.calls: Counter[str] = Counter()
        self.log: list[tuple[str, dict[str, Any]]] = []
        """Each call: endpoint, and body."""
        self._fails = fails

    @property
    def state(self) -> dict[str, Any]:
        """What the customer sees in the end. The order of opens says nothing: they are counted."""
        return {
            "users": self.users,
            "events": self.events,
            "purchases": self.purchases,
            "lists": {list_id: members for list_id, members in self.lists.items() if members},
            "subscriptions": self.subscriptions,
            "devices": self.devices,
            "opens": sorted(self.opens),
        }

    def answer(self, delivery: Delivery) -> Answer:
        """Take one call."""
        endpoint = delivery.url.partition("/api/")[2]
        body = json.loads(delivery.body)
        self.calls[endpoint] += 1
        self.log.append((endpoint, body))
        if (failure := self._fails(self.calls.total())) is not None:
            return failure
        if delivery.secret_headers["Api-Key"].value != "key-1":
            return Answer(401)
        take = getattr(self, "_" + endpoint.replace("/", "_"))
        status, content = take(body)
        return Answer(status, body=json.dumps(content).encode())

    # --- single calls -----------------------------------------------------------------------------------------------

    def _users_update(self, body: dict[str, Any]) -> tuple[int, Any]:
        return _single(self._update(body))

    def _events_track(self, body: dict[str, Any]) -> tuple[int, Any]:
        return _single(self._track(body))

    def _users_updateEmail(self, body: dict[str, Any]) -> tuple[int, Any]:  # noqa: N802 - Iterable's name
        old, new = body["currentEmail"], body["newEmail"]
        if old not in self.users or new in self.users or not _is_address(new):
            return 400, {"code": "InvalidEmailAddressError"}
        self.users[new] = {**self.users.pop(old), "email": new}
        for members in self.lists.values():
            if old in members:
                members.remove(old)
                members.add(new)
        for kept in (self.subscriptions, self.devices):
            if old in kept:
                kept[new] = kept.pop(old)
        return _single(None)

    def _users_updateSubscriptions(self, body: dict[str, Any]) -> tuple[int, Any]:  # noqa: N802
        if body["email"] not in self.users:
            return 400, {"code": "NotFound"}
        self.subscriptions.setdefault(body["email"], {}).update(body)
        return _single(None)

    def _users_registerDeviceToken(self, body: dict[str, Any]) -> tuple[int, Any]:  # noqa: N802
        if not _is_address(body["email"]):
            return 400, {"code": "BadParams"}
        self._user(body)
        self.devices.setdefault(body["email"], set()).add(body["device"]["token"])
        return _single(None)

    def _events_trackPushOpen(self, body: dict[str, Any]) -> tuple[int, Any]:  # noqa: N802
        if not _is_address(body["email"]):
            return 400, {"code": "BadParams"}
        self.opens.append((body["email"], body["campaignId"]))
        return _single(None)

    def _commerce_trackPurchase(self, body: dict[str, Any]) -> tuple[int, Any]:  # noqa: N802
        if "items" not in body or self._update(body["user"]):
            return 400, {"code": "BadParams"}
        user = {name: body["user"].get(name) for name in ("email", "userId")}
        self.purchases[body["id"]] = {**body, "user": user}
        return _single(None)

    # --- bulk calls -------------------------------------------------------------------------------------------------

    def _users_bulkUpdate(self, body: dict[str, Any]) -> tuple[int, Any]:  # noqa: N802
        return self._bulk(body, "users", self._update)

    def _events_trackBulk(self, body: dict[str, Any]) -> tuple[int, Any]:  # noqa: N802
        return self._bulk(body, "events", self._track)

    def _lists_subscribe(self, body: dict[str, Any]) -> tuple[int, Any]:
        def add(member: dict[str, Any]) -> str | None:
            if not _is_address(member["email"]):
                return "invalid"
            self._user(member)
            self.lists.setdefault(body["listId"], set()).add(member["email"])
            return None

        return _per_item(body["subscribers"], add)

    def _lists_unsubscribe(self, body: dict[str, Any]) -> tuple[int, Any]:
        def remove(member: dict[str, Any]) -> str | None:
            members = self.lists.get(body["listId"], set())
            if member["email"] not in members:
                return "notFound"
            members.remove(member["email"])
            return None

        return _per_item(body["subscribers"], remove)

    def _bulk(self, body: dict[str, Any], name: str, take: Callable[[dict[str, Any]], str | None]) -> tuple[int, Any]:
        assert 0 < len(body[name]) <= MOST[name]
        if len(json.dumps(body)) > MOST_BYTES:
            return 413, {"code": "RequestTooLarge"}
        if any(
            "poison" in one.get("dataFields", {}) for one in body[name]
        ):  # refused as a whole, as bad JSON types are
            return 400, {"code": "BadParams"}
        return _per_item(body[name], take)

    # --- what both do -----------------------------------------------------------------------------------------------

    def _user(self, who: dict[str, Any]) -> dict[str, Any]:
        user = self.users.setdefault(who["email"], {"email": who["email"], "dataFields": {}})
        if who.get("userId"):
            user["userId"] = who["userId"]
        return user

    def _update(self, body: dict[str, Any]) -> str | None:
        """None, or why it is refused."""
        if not _is_address(body["email"]):
            return "invalid"
        if "poison" in body.get("dataFields", {}):
            return "invalidData"
        self._user(body)["dataFields"].update(body.get("dataFields", {}))
        return None

    def _track(self, body: dict[str, Any]) -> str | None:
        if not _is_address(body["email"]):
            return "invalid"
        if body["eventName"] == REFUSED_NAME:
            return "disallowed"
        if "poison" in body.get("dataFields", {}):
            return "invalidData"
        self._user(body)
        self.events[body["id"]] = body
        return None


def _is_address(email: str) -> bool:
    return "@" in email


def _single(refused: str | None) -> tuple[int, Any]:
    return (400, {"code": "BadParams"}) if refused else (200, {"msg": "", "code": "Success", "params": None})


def _per_item(items: list[dict[str, Any]], take: Callable[[dict[str, Any]], str | None]) -> tuple[int, Any]:
    refused = [(one, why) for one in items if (why := take(one))]
    named: dict[str, list[str]] = {f"{why}Emails": [] for why in ("invalid", "notFound", "invalidData", "forgotten")}
    for one, why in refused:
        if why != "disallowed":
            named[f"{why}Emails"].append(one["email"])
    answer: dict[str, Any] = {
        "successCount": len(items) - len(refused),
        "failCount": len(refused),
        "failedUpdates": named,
        "disallowedEventNames": sorted({one["eventName"] for one, why in refused if why == "disallowed"}),
    }
    return 200, answer
