"""Each promise is broken by one partner, and kept by the partner that it was made of."""

import base64
import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from partners import Delivery, LeftOut, Secret
from partners.reading import one_by_one
from shared.errors import InvalidRequest
from shared.firehose import EventProcessingRequest, TextSetting

Found = Callable[..., dict[str, tuple[str, list[str]]]]
Spoil = Callable[[Delivery, Any], Any]

counter = itertools.count()
JSON_TYPE = {"Content-Type": "application/json"}


def key_of(request: Any) -> str:
    return str(request.account.account_settings["apiKey"])


def with_header(name: str, value: Any) -> Spoil:
    return lambda one, _: replace(one, headers={**one.headers, name: value})


def with_body(body: bytes, content_type: str = "application/json") -> Spoil:
    return lambda one, _: replace(one, body=body, headers={"Content-Type": content_type})


def raises(error: Exception) -> Spoil:
    def spoil(one: Delivery, _: Any) -> Delivery:
        raise error

    return spoil


SPOILT: list[tuple[str, Spoil]] = [
    ("delivery.type", lambda one, _: {"url": one.url}),
    ("delivery.type", lambda one, _: replace(one, body=one.body.decode())),  # type: ignore[arg-type]
    ("delivery.type", lambda one, _: replace(one, item=5)),  # type: ignore[arg-type]
    ("delivery.type", lambda one, _: replace(one, merge_group=5)),  # type: ignore[arg-type]
    ("delivery.item", lambda one, _: replace(one, item="")),
    ("delivery.method", lambda one, _: replace(one, method="post")),
    ("url.insecure", lambda one, _: replace(one, url="http://api.good.example/v1")),
    ("url.insecure", lambda one, _: replace(one, url="ftp://api.good.example/v1")),
    ("url.no_host", lambda one, _: replace(one, url="https:///v1")),
    ("url.unreadable", lambda one, _: replace(one, url="https://[bad/v1")),
    ("url.credentials", lambda one, _: replace(one, url="https://user:word@api.good.example/")),
    ("url.unquoted", lambda one, request: replace(one, url=f"https://api.good.example/{request.user_attributes}")),
    ("url.fragment", lambda one, request: replace(one, url=f"https://api.good.example/{request.mpid}#top")),
    ("url.climbs", lambda one, request: replace(one, url=f"https://api.good.example/{quote(str(request.mpid))}")),
    ("url.uncallable", lambda one, _: replace(one, url="https://api.good.example:0/v1")),
    ("url.uncallable", lambda one, _: replace(one, url="https://api..example/v1")),
    ("sign.key", lambda one, _: replace(one, sign_with=Secret("whsec_"))),
    ("header.name", with_header("X Y", "z")),
    ("header.value", with_header("X-Y", "a\r\nb")),
    ("header.value", with_header("X-Y", 5)),
    ("header.twice", with_header("content-type", "application/json")),
    ("header.client", with_header("Content-Length", "9")),
    ("header.key", with_header("Idempotency-Key", "k")),
    ("header.bare_secret", lambda one, _: replace(one, secret_headers={"A": "text"})),  # type: ignore[dict-item]
    ("header.secret_in_plain", with_header("X-Y", Secret("a"))),
    ("body.untyped", lambda one, _: replace(one, headers={})),
    ("body.invalid", with_body(b"{")),
    ("body.invalid", with_body(b"\xff")),
    ("body.invalid", with_body(b'{"a": NaN}')),
    ("body.invalid", with_body(b'{"a": 1}\n{', "application/x-ndjson")),
    ("body.invalid", with_body(b"a=1&&b", "application/x-www-form-urlencoded")),
    ("body.invalid", with_body(b"\xff", "text/plain")),
    ("body.bare_secret", lambda one, _: replace(one, secret_fields={"key": "text"})),  # type: ignore[dict-item]
    ("body.no_object", lambda one, _: replace(one, body=b"[1]", secret_fields={"key": Secret("k")})),
    ("secret.shown", lambda one, request: replace(one, url=f"{one.url}?key={key_of(request)}")),
    ("secret.shown", lambda one, request: replace(one, body=b'{"key": "%s"}' % key_of(request).encode())),
    ("secret.shown", lambda one, request: replace(one, item=f"{one.item} {key_of(request)}")),
    ("secret.shown", lambda one, request: with_header("X-Key", key_of(request))(one, request)),
    (
        "secret.shown",
        lambda one, request: with_header("Basic", base64.b64encode(f"me:{key_of(request)}".encode()).decode())(
            one, request
        ),
    ),
    ("keys.shared", lambda one, _: replace(one, item="event")),
    ("mapping.raises", raises(KeyError("canary@example.com"))),
    ("mapping.refuses", raises(InvalidRequest("is never right", "account"))),
    ("mapping.differs", lambda one, _: replace(one, item=f"{one.item} {next(counter)}")),
    ("mapping.differs", lambda one, _: replace(one, merge_group=f"{next(counter)}")),
    ("mapping.differs", lambda one, _: LeftOut(f"{one.item} {next(counter)}", "a reason")),
    ("left_out.type", lambda one, _: LeftOut(one.item, "")),
    ("left_out.type", lambda one, _: LeftOut(5, "a reason")),  # type: ignore[arg-type]
    ("secret.shown", lambda one, request: LeftOut(one.item, f"{key_of(request)} is refused")),
    ("mapping.impure", lambda one, _: replace(one, item=f"{one.item} {random.random()}")),
]


@pytest.mark.parametrize(("identity", "spoil"), SPOILT, ids=[f"{name}-{n}" for n, (name, _) in enumerate(SPOILT)])
def test_a_spoilt_event_is_found(identity: str, spoil: Spoil, good: Any, found: Found) -> None:
    """Deliveries of events are spoilt in one way, and that way is named; nothing of a request is quoted."""

    class Spoilt(good):  # type: ignore[misc]
        def deliveries(self, request: Any) -> Any:
            for delivery in super().deliveries(request):
                yield spoil(replace(delivery, merge=None), request) if is_events(request) else delivery

    problems = found(Spoilt())
    assert identity in problems
    problem, places = problems[identity]
    assert "canary" not in problem
    assert identity == "mapping.impure" or any("event_processing_request" in place for place in places)


def is_events(request: Any) -> bool:
    return isinstance(request, EventProcessingRequest)


def test_a_good_partner_is_found_good(good: Any, found: Found) -> None:
    """A partner that keeps every promise has no finding, forwards and backwards."""
    assert found(good(), count=12) == {}
    assert found(good(), count=12, backwards=True) == {}


def test_a_field_that_is_read_and_not_declared_is_named(good: Any, found: Found) -> None:
    """By its name, with the line that reads it."""

    class Forgetful(good):  # type: ignore[misc]
        reads = frozenset({"account", "user_profiles"})

    problem, _ = found(Forgetful())["mapping.undeclared"]
    assert problem.startswith("the partner reads `events`, and its `reads` does not name it, in conftest.py:")


def test_what_is_left_out_is_no_fault(good: Any, found: Found) -> None:
    """It is said in a constant text; a text for each part would take something of the request into the log."""

    class Choosy(good):  # type: ignore[misc]
        reason = "not wanted"

        def deliveries(self, request: Any) -> Any:
            for place, one in enumerate(super().deliveries(request)):
                yield LeftOut(f"{one.item} {place}", self.reason.format(one.item))

    class Talkative(Choosy):
        reason = "{} is not wanted"

    assert found(Choosy(), count=12) == {}
    assert set(found(Talkative(), count=12)) == {"left_out.varies"}


def test_seeded_dice_and_the_request_s_time_are_no_impurity(good: Any, found: Found) -> None:
    """What hangs on the request alone is pure, even if it is drawn."""

    class Drawn(good):  # type: ignore[misc]
        def call(self, request: Any, content: Any, item: str, **more: Any) -> Delivery:
            dice = random.Random(item)
            return super().call(request, {"of": content, "draw": dice.random()}, item, **more)  # type: ignore[no-any-return]

    assert found(Drawn()) == {}


@pytest.mark.parametrize(
    ("identity", "subscribe"),
    [
        ("subscribe.type", lambda *_: None),
        ("subscribe.type", lambda *_: {"a": 5}),
        ("mapping.raises", lambda *_: 1 / 0),
    ],
)
def test_a_subscription_that_is_not_answered_is_found(identity: str, subscribe: Any, good: Any, found: Found) -> None:
    """The settings that subscribe() gives go back to mParticle as they are."""
    assert identity in found(type("Spoilt", (good,), {"subscribe": subscribe})())


def pinging(url: str = "https://api.good.example/me", **fields: Any) -> Callable[..., Delivery]:
    """A ping that is sound unless it is told otherwise."""

    def ping(_: Any, settings: Any) -> Delivery:
        key = settings.get("apiKey") or "none"
        if not key.isprintable():
            raise InvalidRequest("must be printable", "account.account_settings.apiKey")
        return replace(Delivery(url, b"", "ping", method="GET", secret_headers={"X-Key": Secret(key)}), **fields)

    return ping


@pytest.mark.parametrize("ping", [pinging(), lambda *_: None])
def test_a_sound_ping_is_fine(ping: Any, good: Any, found: Found) -> None:
    """It may refuse impossible settings, and there need be none."""
    assert found(type("Pinging", (good,), {"ping": ping})()) == {}


@pytest.mark.parametrize(
    ("identity", "ping"),
    [
        ("ping.delivery.type", lambda *_: "https://api.good.example/me"),
        ("ping.url.insecure", pinging("http://api.good.example/me")),
        (
            "ping.secret.shown",
            lambda _, given: pinging(f"https://api.good.example/?k={quote(given.get('apiKey', ''))}")(_, {}),
        ),
        (
            "ping.header.value",
            lambda _, given: pinging(secret_headers={"X-Key": Secret(given.get("apiKey", ""))})(_, {}),
        ),
        ("ping.raises", lambda _, given: given["apiKey"]),
        ("ping.raises", raises(InvalidRequest("nobody", "account"))),
    ],
)
def test_a_spoilt_ping_is_found(identity: str, ping: Any, good: Any, found: Found) -> None:
    """It is held to what every call is, with settings, without, and with what fits into no header."""
    problem, _ = found(type("Spoilt", (good,), {"ping": ping})())[identity]
    assert problem.startswith(("of ping()", "ping()"))


def test_an_odd_request_may_be_refused_and_must_not_raise(good: Any, found: Found) -> None:
    """An event of a new type, say: InvalidRequest is an answer, AttributeError is not."""

    class Careless(good):  # type: ignore[misc]
        def deliveries(self, request: Any) -> Any:
            if is_events(request):
                assert all(event.timestamp_ms for event in request.events)
            yield from super().deliveries(request)

    problem, places = found(Careless())["mapping.raises"]
    assert problem.startswith("the mapping raises AssertionError in test_trial.py:")
    assert places
    assert all("seed" not in place for place in places)


def test_own_samples_are_mapped_with_their_settings_but_for_secrets(good: Any, found: Found) -> None:
    """A sample says what a setting must be; a secret in it is replaced by a canary."""
    seen = []

    class Regional(good):  # type: ignore[misc]
        def registration(self) -> Any:
            declared = super().registration()
            part = declared.event_processing_registration
            part.account_settings.append(TextSetting(id="region", name="Region"))
            return declared

        def deliveries(self, request: Any) -> Any:
            settings = request.account.account_settings if request.account else {}
            if "region" in settings and is_events(request):
                seen.append(settings["apiKey"])
                if settings["region"] not in {"us", "eu"}:
                    raise InvalidRequest("must be us or eu", "account.account_settings.region")
            yield from super().deliveries(request)

    assert "mapping.refuses" in found(Regional())
    account = {"account_settings": {"region": "eu", "apiKey": "canary-of-the-sample"}}
    sample = {"type": "event_processing_request", "id": "s", "account": account, "events": []}
    seen.clear()
    assert found(Regional(), samples={"eu.json": sample}) == {}
    assert seen
    assert "canary-of-the-sample" not in seen


def test_a_sample_that_is_no_request_is_found(good: Any, found: Found) -> None:
    """What ingest would refuse tries nothing: the finding names file and field."""
    sample = {"type": "event_processing_request", "id": "s", "events": {"0": "canary"}}
    problem, places = found(good(), samples={"good/event.json": sample})["sample.invalid"]
    assert problem.startswith("a sample is no request: events: ")
    assert places == ["sample good/event.json"]


def test_a_part_that_is_left_out_because_its_code_raised_is_a_fault_of_the_code(good: Any, found: Found) -> None:
    """Of a valid request; else what one_by_one catches would never be seen."""

    class Loses(good):  # type: ignore[misc]
        def deliveries(self, request: Any) -> Any:
            calls = super().deliveries(request)
            return one_by_one(((one.item, one) for one in calls), lambda item, one: [one if item else 1 / 0, {}[item]])

    problem, places = found(Loses())["mapping.raises"]
    assert problem.startswith("can not be mapped: KeyError in test_trial.py:")
    assert places
