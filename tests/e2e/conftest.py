"""One embedded AWS with one deployed stack for all end-to-end tests: it costs five seconds, once."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ops.local.aws import LocalAws, local_aws
from ops.local.partner_api import Behaviour, LoopbackPartner, serve


@dataclass(frozen=True)
class Partner:
    """The partner that the stack delivers to: the calls that it got, and its address."""

    api: LoopbackPartner
    url: str


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """Restore Ctrl-C: a shell makes background processes ignore it, and the processes that the tests start would
    inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    with local_aws(account_concurrency=1_000) as running:
        yield running


@pytest.fixture(scope="session")
def partner() -> Iterator[Partner]:
    api = LoopbackPartner(Behaviour())
    with serve(api) as url:
        yield Partner(api, url)


@pytest.fixture(scope="session")
def stack(aws: LocalAws, partner: Partner) -> dict[str, str]:
    """Outputs of the product's stack, deployed as a user would."""
    return aws.deploy(env={"WEBHOOK_URL": partner.url})
