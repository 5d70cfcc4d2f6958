"""An API of another nature: kinds in one call, rate headers, a host that the customer chooses."""

import os
from collections import Counter
from typing import Any

import pytest

from ops.partner.check import check
from partners import Bulk, RateHeaders
from shared.errors import InvalidRequest
from testkit import Answer, Call, PartnerApi, deliver, json_of, mapped, request
from testkit.clock import EPOCH_S
from tests.fakes.brazelike import HOSTS, Brazelike

ANN = [{"type": "customer", "encoding": "raw", "value": "ann-1"}]
BOUGHT = {"type": "product_action", "action": "purchase", "products": [{"id": "shoe", "price": 10.5, "quantity": 2}]}


def batch(*events: dict[str, Any], seed: int = 1, settings: dict[str, str] | None = None, **fields: Any) -> Any:
    own = {"apiKey": "key-0123456789", "region": "eu-01", **(settings or {})}
    given = {"user_identities": ANN, "user_attributes": {"plan": "pro"}, **fields}
    return request(seed=seed, events=list(events), settings=own, **given)


def viewed(number: int) -> dict[str, Any]:
    return {"type": "custom_event", "id": f"e{number}", "name": "viewed"}


def sizes(call: Call) -> dict[str, int]:
    return {kind: len(entries) for kind, entries in json_of(call).items()}


def test_it_keeps_its_promises() -> None:
    """`spillway partner check` finds nothing."""
    checked = check("tests.fakes.brazelike", os.environ, count=5, seed=0)
    assert [(one.id, one.message) for one in checked.findings] == []
    assert checked.deliveries > 50


def test_a_call_takes_so_many_of_each_kind() -> None:
    """150 events, 40 purchases and 100 users of 100 messages: the narrowest kind decides, the others fill the calls."""
    messages = [batch(viewed(1), viewed(2), *([BOUGHT] if n < 40 else []), seed=n) for n in range(1, 76)]
    api = PartnerApi(201)
    assert {end.how for end in deliver(Brazelike(), *messages, api=api)} == {"delivered"}
    told = [sizes(call) for call in api.calls]
    assert all(count <= 75 for one in told for count in one.values())
    total = sum((Counter(one) for one in told), Counter())
    assert total == {"attributes": 75, "events": 150, "purchases": 39}
    assert len(told) <= 5


def test_nothing_left_is_a_cool_down_of_that_customer_until_the_reset() -> None:
    """No call is made that would be refused; another customer's go on."""

    def answered(call: Call) -> Answer:
        spent = len([one for one in api.calls if one.headers["Authorization"] == call.headers["Authorization"]]) == 1
        left = {"x-ratelimit-remaining": "0" if spent else "9", "x-ratelimit-reset": str(int(EPOCH_S) + 30)}
        return Answer(201, headers=left if "key-0" in call.headers["Authorization"] else {})

    api = PartnerApi(answered)
    events = [viewed(number) for number in range(150)]
    ann, bob = (
        batch(*events, user_attributes=None),
        batch(*events, seed=2, settings={"apiKey": "other-key"}, user_attributes=None),
    )
    bobs = {**bob.raw, "account": {**bob.raw["account"], "account_id": 8}}
    assert [end.how for end in deliver(Brazelike(), ann, bobs, api=api, for_s=120)] == ["delivered", "delivered"]
    at_s = {
        key: [call.at_s for call in api.calls if key in call.headers["Authorization"]] for key in ("key-0", "other")
    }
    assert at_s["key-0"][0] == 0.0
    assert 29 <= at_s["key-0"][1] < 60
    assert max(at_s["other"]) < 5


@pytest.mark.parametrize(
    ("region", "host"), [("eu-01", HOSTS["eu-01"]), (" US-01 ", HOSTS["us-01"]), ("", HOSTS["us-01"])]
)
def test_the_customer_s_region_decides_the_host(region: str, host: str) -> None:
    """The first is meant where none is set."""
    [call] = mapped(Brazelike(), batch(viewed(1), settings={"region": region}, user_attributes=None))
    assert call.url == f"{host}/users/track"


@pytest.mark.parametrize("region", ["mars", "https://evil.example", "eu-01.evil.example/", "eu-01\r\n", "eu-01@evil"])
def test_a_host_of_the_customer_s_own_is_never_called(region: str) -> None:
    """The message is dead-lettered, with the setting's name and without its value."""
    if region.strip() == "eu-01":  # blanks around a name are nothing
        assert mapped(Brazelike(), batch(viewed(1), settings={"region": region}))[0].url.startswith(HOSTS["eu-01"])
        return
    api = PartnerApi(201)
    [end] = deliver(Brazelike(), batch(viewed(1), settings={"region": region}), api=api)
    assert (end.how, end.reason) == ("dead-lettered", "unmappable")
    assert end.error == "account.account_settings.region: must be one of us-01, eu-01"
    assert api.calls == []
    with pytest.raises(InvalidRequest):
        mapped(Brazelike(), batch(viewed(1), settings={"region": region}))


@pytest.mark.parametrize(
    ("counts", "calls"),
    [({}, 0), ({"events": 75}, 1), ({"events": 76}, 2), ({"events": 75, "attributes": 75, "purchases": 75}, 1),
     ({"events": 150, "attributes": 1}, 2), ({"other": 226}, 2), ({"": 225}, 1)],
)  # fmt: skip
def test_so_many_calls_are_left(counts: dict[str, int], calls: int) -> None:
    """By the narrowest kind, and by the whole."""
    assert Brazelike.limits.bulk["users/track"].calls_for(counts) == calls


def test_a_declaration_that_cannot_be_is_refused() -> None:
    """When it is made, not when a call is."""
    with pytest.raises(ValueError, match="one of each kind"):
        Bulk(10, kinds={"events": 0})
    with pytest.raises(ValueError, match="letters"):
        RateHeaders("X Remaining", "X-Reset")
    with pytest.raises(ValueError, match="epoch_s or delta_s"):
        RateHeaders("X-Remaining", "X-Reset", "epoch_ms")  # type: ignore[arg-type]
