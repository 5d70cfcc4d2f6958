"""Any answer into dispatch: nothing raises, each item has one outcome, and what was not taken is not delivered.

`FUZZ_EXAMPLES=5000` runs it longer, with other dice each time; without it the examples are few and always the same.
"""

import json
import math
import os
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from partners import Delivery, Partner
from partners.amplitude import Amplitude
from partners.iterable import Iterable
from partners.webhook import Webhook
from testkit import request
from testkit.clock import now_s
from testkit.harness import Harness
from tests.fakes.brazelike import Brazelike
from worker_fn.batch.rounds import dispatcher_for
from worker_fn.clients.http import Answer
from worker_fn.dispatch.classify import Verdict
from worker_fn.dispatch.lanes import Dispatch, Lane

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")
bounded = settings(
    max_examples=int(EXAMPLES or 150),
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

USER = [{"type": "customer", "encoding": "raw", "value": "u1"}, {"type": "email", "value": "u1@example.com"}]
EVENTS = [
    {"type": "custom_event", "id": "e0", "name": "viewed"},
    {"type": "product_action", "id": "e1", "action": "purchase", "total_amount": 5, "products": [{"id": "p"}]},
    {"type": "session_start", "id": "e2"},
]
SETTINGS = {"apiKey": "key-0123456789"}

ITERABLE = [
    {"msg": "", "code": "Success", "params": None},
    {
        "successCount": 2,
        "failCount": 0,
        "failedUpdates": {"invalidEmails": [], "notFoundEmails": []},
        "createdFields": [],
    },
    {
        "successCount": 1,
        "failCount": 1,
        "failedUpdates": {"invalidEmails": ["u1@example.com"], "conflictUserIds": ["u1"]},
    },
    {"successCount": 1, "failCount": 1, "disallowedEventNames": ["viewed"], "filteredOutFields": []},
    {"code": "BadApiKey", "msg": "Invalid API key"},
    {"code": "RateLimitExceeded", "msg": "", "params": {"limit": 5}},
]
AMPLITUDE = [
    {"code": 200, "server_upload_time": 1_396_381_378_123, "payload_size_bytes": 50, "events_ingested": 2},
    {"code": 400, "error": "Request missing required field", "events_with_invalid_fields": {"time": [0, 1]}},
    {
        "code": 400,
        "error": "Invalid API key: x",
        "missing_field": "api_key",
        "events_with_missing_fields": {"event_type": [1]},
    },
    {
        "code": 400,
        "silenced_events": [0],
        "silenced_devices": {"d": 1},
        "events_with_invalid_id_lengths": {"user_id": [1]},
    },
    {
        "code": 429,
        "error": "Too many requests for some devices and users",
        "throttled_events": [0],
        "eps_threshold": 1_000,
        "throttled_users": {"u1": 2_000},
        "exceeded_daily_quota_devices": {"d": 500_000},
    },
]
"""As their documentations have them."""

odd = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(
            [-1, 0, 1, 2, 2**63, 10**400, 1e308, "u1", "u1@example.com", "viewed", "Success", "Invalid API key"]
        ),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """An answer as it is documented with a field or two that is not."""
    answer = json.loads(json.dumps(draw(st.sampled_from(ITERABLE + AMPLITUDE))))
    for _ in range(draw(st.integers(0, 2))):
        holder: Any = answer
        name: Any = draw(st.sampled_from(sorted(holder)))
        while isinstance(holder[name], dict | list) and holder[name] and draw(st.booleans()):
            holder = holder[name]
            name = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
        holder[name] = draw(odd)
    text = json.dumps(answer).encode()
    return text[: draw(st.one_of(st.just(len(text)), st.integers(0, len(text))))]


bodies = st.one_of(
    mutated(),
    st.binary(max_size=40),
    odd.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [b"", b"<html>", b"\xef\xbb\xbf{}", b"[" * 50_000, b'{"failCount":' + b"9" * 5_000 + b"}", b"null"]
    ),
)
statuses = st.one_of(
    st.sampled_from([200, 200, 200, 201, 204, 207, 400, 400, 401, 403, 409, 413, 429, 429, 500, 503]),
    st.integers(100, 999),
)
retry_afters = st.one_of(
    st.none(),
    st.sampled_from(
        [
            "0",
            "3",
            "299.997",
            "-5",
            "1e9",
            "inf",
            "nan",
            "٣",
            "3, 4",
            " 7 ",
            "",
            "soon",
            "9" * 400,
            "0x10",
            "\x00",
            "600000",
            "Mon, 01 Jan 99999999999 00:00:00 GMT",
            "Mon, 32 Jan 2026 00:00:00 GMT",
            "Wed, 21 Oct 2026 07:28:00 GMT",
            "Wed, 21 Oct 2026 07:28:00 +9999",
            "Wed, 21 Oct 0001 00:00:00 +2359",
            "Wed, 21 Oct 9999 23:59:59 -2359",
            "GMT",
            ",",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "2026-01-01T00:00:00Z",
        ]
    ),
    st.text(max_size=30),
)
headers = st.dictionaries(
    st.sampled_from(["x-ratelimit-remaining", "x-ratelimit-reset", "x-other"]),
    st.one_of(
        st.sampled_from(["0", "1", "-1", "1790000030", "1790000030000", "nan", "1e9", "", "٣"]), st.text(max_size=12)
    ),
)
answers = st.one_of(
    st.builds(Answer, status=statuses, retry_after=retry_afters, body=bodies, headers=headers),
    st.builds(Answer, fault=st.sampled_from(["timeout", "connection"])),
)
PARTNERS: list[Partner] = [
    Iterable(),
    Iterable(is_bulk=True),
    Amplitude(),
    Webhook(url="https://hook.example/"),
    Brazelike(),
]


class Api:
    """Gives answers in turn, and remembers the last one that each item got."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = answers
        self.calls = 0
        self.carried: Sequence[str] = ()
        self.last: dict[str, Answer] = {}

    async def send(self, delivery: Delivery, key: str, timeout_s: float) -> Answer:
        answer = self.answers[self.calls % len(self.answers)]
        self.calls += 1
        keys, self.carried = self.carried or (key,), ()
        self.last |= dict.fromkeys(keys, answer)
        return answer


def shipped(partner: Partner, api: Api) -> list[Dispatch]:
    """What comes of the deliveries of two requests, each on its own."""

    class Watched(type(partner)):  # type: ignore[misc]
        def merge(self, deliveries: Sequence[Delivery], keys: Sequence[str]) -> Delivery:
            api.carried = keys
            return super().merge(deliveries, keys)  # type: ignore[no-any-return]

    watched = object.__new__(Watched)
    watched.__dict__.update(vars(partner))
    items = [
        Dispatch(one, f"{seed}-{number}")
        for seed in (1, 2)
        for number, one in enumerate(
            watched.deliveries(request(seed=seed, events=EVENTS, settings=SETTINGS, user_identities=USER))
        )
        if isinstance(one, Delivery)
    ]

    harness = Harness(watched, api, max_in_flight=4, attempts=2)

    async def sent() -> None:
        dispatcher = dispatcher_for(harness.worker, lambda: 60.0 - now_s())
        await dispatcher.deliver([Lane("7", [item]) for item in items])

    harness.clock.run(sent())
    return items


@bounded
@example(partner=PARTNERS[0], said=[Answer(429, retry_after="Mon, 01 Jan 99999999999 00:00:00 GMT")])
@given(partner=st.sampled_from(PARTNERS), said=st.lists(answers, min_size=1, max_size=4))
def test_any_answers_leave_each_item_with_one_outcome(partner: Partner, said: list[Answer]) -> None:
    """Delivered is only what a 2xx took; what waits says until when, and that is a time."""
    api = Api(said)
    items = shipped(partner, api)
    assert items
    for item in items:
        assert item.outcome is not None
        event(f"{partner.name} {item.outcome.verdict.value}")
        assert item.outcome.verdict is not Verdict.UNSENDABLE
        if item.outcome.verdict is Verdict.DELIVERED:
            assert api.last[item.key].status in range(200, 300)
        if item.outcome.retry_after_s is not None:
            assert math.isfinite(item.outcome.retry_after_s)
            assert item.outcome.retry_after_s >= 0
        assert 0 <= item.outcome.wait_until_ms < 10**15


@bounded
@given(partner=st.sampled_from(PARTNERS), status=st.integers(200, 299), retry_after=retry_afters, body=bodies)
def test_a_2xx_is_a_delivery_unless_its_body_names_failures(
    partner: Partner, status: int, retry_after: str | None, body: bytes
) -> None:
    """Only Iterable's bodies speak of items within a 2xx; one of its that is no JSON is asked for again."""
    items = shipped(partner, Api([Answer(status, retry_after=retry_after, body=body)]))
    verdicts = {item.outcome and item.outcome.verdict for item in items}
    assert Verdict.UNREADABLE not in verdicts
    if not isinstance(partner, Iterable) or body in (b"", b"null") or not body.strip().startswith(b"{"):
        if isinstance(partner, Iterable) and not _is_json(body):
            assert verdicts == {Verdict.RETRY}
        else:
            assert verdicts == {Verdict.DELIVERED}


def _is_json(body: bytes) -> bool:
    """As the partner reads it: the first document counts."""
    from shared.errors import InvalidRequest
    from shared.firehose.json_text import decode

    try:
        return not body or decode(body) is not ...
    except InvalidRequest:
        return False


@bounded
@given(partner=st.sampled_from(PARTNERS), count=st.integers(1, 5), status=statuses, body=bodies)
def test_read_response_speaks_of_every_delivery_or_of_none(
    partner: Partner, count: int, status: int, body: bytes
) -> None:
    """It never raises, and gives one result for each."""
    mapped = partner.deliveries(request(events=EVENTS * 3, settings=SETTINGS, user_identities=USER))
    calls: dict[str | None, list[Delivery]] = {}
    for one in mapped:
        if isinstance(one, Delivery):
            calls.setdefault(one.merge, []).append(one)
    for name, some in calls.items():
        sent = some[:count] if name is not None else some[:1]
        said = partner.read_response(sent, status, body)
        assert said is None or len(said) == len(sent)
