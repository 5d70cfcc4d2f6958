"""Count the calls that 1,000 events cost in each mode: `python -m tests.fakes.iterable_calls [EVENTS_A_REQUEST]`.

Requests as a queue holds them, in batches of 50 as serverless.yml has it; one event in ten is a purchase, one in fifty
an open. Nothing leaves: the worker talks to the fake Iterable beside this file.
"""

import sys

from partners.iterable import Iterable
from shared.message import Head, encode, to_json
from testkit import PartnerApi
from testkit.harness import Harness
from tests.fakes.iterable_api import FakeIterable

EVENTS, BATCH = 1_000, 50


def bodies(events_a_request: int) -> list[str]:
    made = []
    for number in range(EVENTS // events_a_request):
        request = {
            "type": "event_processing_request",
            "id": f"r{number}",
            "account": {"account_id": 7, "account_settings": {"apiKey": "key-1"}},
            "mpid": str(number),
            "user_identities": [{"type": "email", "encoding": "raw", "value": f"u{number}@example.com"}],
            "user_attributes": {"plan": "pro"},
            "events": [_event(number * events_a_request + place) for place in range(events_a_request)],
        }
        made += encode(Head(f"r{number}", "event_processing_request", "7", 1_790_000_000_000), to_json(request))
    return made


def _event(number: int) -> dict[str, object]:
    head = {"id": f"e{number}", "timestamp_ms": number}
    if number % 50 == 7:
        return {**head, "type": "push_message_open", "payload": '{"itbl": {"campaignId": 5, "templateId": 6}}'}
    if number % 10 == 3:
        return {**head, "type": "product_action", "action": "purchase", "total_amount": 5, "products": []}
    return {**head, "type": "custom_event", "name": "viewed", "attributes": {"page": "7"}}


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or [1, 5, 20]
    for size in sizes:
        for mode, partner in (("single", Iterable()), ("bulk", Iterable(is_bulk=True))):
            api = FakeIterable()
            messages = bodies(size)
            for start in range(0, len(messages), BATCH):
                harness = Harness(partner, PartnerApi(lambda call: api.answer(call.delivery)))  # noqa: B023 - runs here
                harness.work(messages[start : start + BATCH], receives=1)
            taken = len(api.events) + len(api.purchases) + len(api.opens)
            calls = ", ".join(f"{endpoint} {count}" for endpoint, count in sorted(api.calls.items()))
            print(f"{size} events a request, {mode}: {api.calls.total()} calls for {taken} events ({calls})")


if __name__ == "__main__":
    main()
