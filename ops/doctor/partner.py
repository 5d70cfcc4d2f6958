"""Whether the partner answers, and accepts a customer's credentials: tried from this machine, with a harmless call.

The call is the one that the partner declares (`Partner.ping`). If it declares none, only a connection is tried: name,
port, and certificate.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import SplitResult, urlsplit

from ops.console.findings import Finding, Severity
from partners import Delivery, Partner
from shared.errors import InvalidRequest, raised_at
from shared.firehose import parse_request
from testkit.requests import make_request
from worker_fn.clients.http import Answer, HttpClient

PING_TIMEOUT_S = 10.0

GIVE_SETTINGS = "Give the customer's settings: --setting NAME=VALUE, as `spillway registration` names them"

Send = Callable[[Delivery], Answer]
Connect = Callable[[SplitResult], None]


def try_partner(
    partner: Partner, settings: Mapping[str, str], *, send: Send | None = None, connect: Connect | None = None
) -> Iterable[Finding]:
    """Make the harmless call with a customer's `settings`, or try the way to the partner."""
    try:
        ping = partner.ping(settings)
    except InvalidRequest as error:
        yield Finding("partner.settings", f"{partner.name} is not called: {error}.", GIVE_SETTINGS, _severity(settings))
        return
    except Exception as error:  # a partner's code may raise anything
        what = f"{type(error).__name__} in {raised_at(error)}"
        yield Finding(
            "partner.not-tried", f"{partner.name} is not called: its ping raised {what}.", "Mend Partner.ping"
        )
        return
    if ping is None:
        yield from _reach(partner, connect or _connect)
        return
    answer = (send or _send)(ping)
    host = urlsplit(ping.url).hostname
    if answer.status is None:
        yield _unreachable(host, answer.fault or "connection")
    elif answer.status in {401, 403}:
        yield Finding(
            "partner.unauthorized",
            f"{partner.name} answers {answer.status}: it does not take these credentials.",
            GIVE_SETTINGS,
            _severity(settings),
        )
    elif not 200 <= answer.status < 300:
        yield Finding(
            "partner.unexpected",
            f"{partner.name} answers {answer.status} to its harmless call.",
            "Look at the partner's status page; a 429 or 5xx passes",
            Severity.WARNING,
        )


def _severity(settings: Mapping[str, str]) -> Severity:
    """How bad a finding is: a refusal is no fault if no customer's settings were given."""
    return Severity.ERROR if settings else Severity.WARNING


def _reach(partner: Partner, connect: Connect) -> Iterable[Finding]:
    request = parse_request(make_request("event_processing_request", seed=1), only=partner.reads)
    try:
        url = next((one.url for one in partner.deliveries(request) if isinstance(one, Delivery)), None)
    except Exception as error:
        # A partner's code may raise anything, and a sample has none of the settings that it may need.
        yield Finding(
            "partner.not-tried",
            f"Where {partner.name} sends is not known: its mapping raised {type(error).__name__} for a sample.",
            "Declare a harmless call: Partner.ping in partners/base.py",
            Severity.WARNING,
        )
        return
    if url is None:
        return
    address = urlsplit(url)
    try:
        connect(address)
    except ssl.SSLError as error:
        yield Finding(
            "partner.certificate",
            f"The certificate of {address.hostname} is not accepted ({type(error).__name__}).",
            "Ask the partner; the worker refuses it as well",
        )
    except OSError as error:
        yield _unreachable(address.hostname, type(error).__name__)


def _unreachable(host: str | None, why: str) -> Finding:
    return Finding(
        "partner.unreachable",
        f"{host} can not be reached from this machine ({why}).",
        "Check the address. The worker calls from Lambda: a firewall there or here can differ",
    )


def _connect(address: SplitResult) -> None:
    host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
    with socket.create_connection((host, port), timeout=PING_TIMEOUT_S) as connection:
        if address.scheme == "https":
            with ssl.create_default_context().wrap_socket(connection, server_hostname=host):
                pass


def _send(delivery: Delivery) -> Answer:
    async def ask() -> Answer:
        async with HttpClient(max_in_flight=1, connect_timeout_s=PING_TIMEOUT_S) as client:
            return await client.send(delivery, "spillway-doctor", PING_TIMEOUT_S)

    return asyncio.run(ask())
