"""Where a deployed version delivers: its partner and the hosts that its variables name, or that its code calls with
them, as far as the checkout has the partner. No value but these is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ops.partner.hosts import hosts_called
from partners import DEFAULT_PARTNER

IN_ITS_CODE = "its host is in its code"


@dataclass(frozen=True, slots=True)
class Destination:
    """`hosts` is empty if only the partner's code knows the host, and the checkout does not have that code."""

    partner: str
    hosts: tuple[str, ...]

    def __str__(self) -> str:
        """Return what a person reads: `partners.webhook, hooks.example`."""
        return f"{self.partner}, {' and '.join(self.hosts) or IN_ITS_CODE}"


def destination(env: Mapping[str, str]) -> Destination:
    """Return where a worker with this environment delivers."""
    hosts = {_host(value) for name, value in env.items() if _is_partners(name, env)}
    named = tuple(sorted(host for host in hosts if host))
    return Destination(env.get("PARTNER") or DEFAULT_PARTNER, named or hosts_called(env))


def _is_partners(name: str, env: Mapping[str, str]) -> bool:
    """Whether a variable is the partner's: it begins with its name (infra/partner.cjs), as no queue's URL does."""
    return name.startswith(f"{(env.get('PARTNER') or DEFAULT_PARTNER).rpartition('.')[2].upper()}_")


def _host(value: str) -> str:
    """Name a URL's host, and its port where it has one; what stands before an @ is a credential."""
    try:
        address = urlsplit(value)
    except ValueError:
        return ""
    return address.netloc.rpartition("@")[2] if address.scheme in {"http", "https"} else ""
