"""Which hosts a partner's code calls, found with made-up requests: for variables that name a region and not a URL."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from urllib.parse import urlsplit

from ops.partner.requests import cases
from ops.partner.variables import prefix_of
from partners import DEFAULT_PARTNER, Delivery, load_partner
from shared.firehose import parse_request, rules_unenforced
from shared.stored import without_stored


def hosts_called(env: Mapping[str, str]) -> tuple[str, ...]:
    """The hosts, sorted; none if the partner cannot be loaded here, or makes no call for these requests."""
    module = env.get("PARTNER") or DEFAULT_PARTNER
    own = {name: value for name, value in env.items() if name.startswith(prefix_of(module))}
    return _called(module, tuple(sorted(own.items())))


@lru_cache(maxsize=32)
def _called(module: str, variables: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    with suppress(Exception):  # a partner's code may raise anything
        return tuple(sorted(set(_hosts({"PARTNER": module, **dict(variables)}))))
    return ()


def _hosts(env: Mapping[str, str]) -> Iterator[str]:
    partner = load_partner(without_stored(env))
    with rules_unenforced():
        declared = partner.registration()
    for case in cases(declared, {}, count=1, first_seed=0):
        if case.odd:
            continue
        with suppress(Exception):  # of one kind of request: a made-up one may lack what this partner needs
            request = parse_request(case.message().payload, only=partner.reads)
            for one in partner.deliveries(request):
                if isinstance(one, Delivery):
                    yield urlsplit(one.url).netloc.rpartition("@")[2]
