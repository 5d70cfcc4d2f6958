"""What tests, the simulation, `spillway partner replay` and a partner's own tests share. No pytest plugin: these are
plain functions, and nothing loads unasked. A partner's test has what it needs in one import:

    from testkit import PartnerApi, assert_sound, deliver, json_of, mapped, request

    deliveries = mapped(Acme(), request("event_processing_request", seed=1))    # the mapping alone
    assert_sound(deliveries)                                                    # what must hold of every call

    api = PartnerApi(429, 200)                                                  # refuses once, then takes all
    ends = deliver(Acme(), request("event_processing_request"), api=api)        # through the worker's own code
    assert [end.how for end in ends] == ["delivered"]

Time is simulated and there are no sockets: a test that waits for hours takes milliseconds. No function's zip carries
this folder; docs/adr/0017 says why.
"""

from testkit.delivery import deliver
from testkit.mapping import assert_sound, json_of, left_out, mapped, read_request, request
from testkit.partner_api import Call, PartnerApi
from testkit.queue import End
from worker_fn.clients.http import Answer

__all__ = [
    "Answer",
    "Call",
    "End",
    "PartnerApi",
    "assert_sound",
    "deliver",
    "json_of",
    "left_out",
    "mapped",
    "read_request",
    "request",
]
