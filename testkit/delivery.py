"""Requests through the worker's own code, to a partner's API in memory."""

from collections.abc import Mapping

from partners import Partner
from shared.firehose import Request
from testkit.harness import Harness
from testkit.mapping import body_of_request
from testkit.partner_api import PartnerApi
from testkit.queue import End
from testkit.records import id_of


def deliver(
    partner: Partner, *requests: Request | Mapping[str, object], api: PartnerApi, for_s: float = 0.0, attempts: int = 3
) -> list[End]:
    """Send requests through the worker, all in one batch; returns how each ended, in their order.

    Messages that wait come back at their time, for `for_s` simulated seconds. `attempts` is how often a call is tried
    before its message waits.
    """
    harness = Harness(partner, api, attempts=attempts)
    contents = [one if isinstance(one, Mapping) else one.raw for one in requests]
    harness.work([body_of_request(content) for content in contents], for_s=for_s)
    return [harness.queue.ends[id_of(number)] for number in range(len(requests))]
