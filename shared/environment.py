"""Settings that both functions read from the environment in the same way. Ingest imports this at each cold start."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from shared.errors import InvalidSettings
from shared.sigv4 import Credentials

_SDK_NAMES = {"dynamodb": "DYNAMODB", "ssm": "SSM", "secretsmanager": "SECRETS_MANAGER"}
"""The names of the services in AWS_ENDPOINT_URL_..."""
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+/?")
"""An endpoint's URL, without a path, which would have to be signed."""


def one_of(env: Mapping[str, str], variable: str, allowed: Sequence[str]) -> str:
    """A variable with few values; the first is the default. Raises InvalidSettings."""
    value = env.get(variable) or allowed[0]
    if value not in allowed:
        raise InvalidSettings(f"{variable} must be one of {', '.join(allowed)}")
    return value


def endpoint_of(service: str, env: Mapping[str, str], *, region: str) -> str:
    """The endpoint of a service: from the AWS SDKs' variables, else in the region, and in the domain of the queue's
    URL, which is the partition's: amazonaws.com, amazonaws.com.cn. Raises InvalidSettings for one that cannot be
    called.
    """
    own = f"AWS_ENDPOINT_URL_{_SDK_NAMES[service]}"
    told = env.get(own) or env.get("AWS_ENDPOINT_URL")
    if told and not _ENDPOINT.fullmatch(told):
        raise InvalidSettings(f"{own}, or AWS_ENDPOINT_URL, must be https://, a host and nothing more")
    domain = (urlsplit(env["QUEUE_URL"]).hostname or "").partition(f"{region}.")[2] or "amazonaws.com"
    return told or f"https://{service}.{region}.{domain}"


def credentials_of(env: Mapping[str, str]) -> Callable[[], Credentials]:
    """The credentials of the function's role, which sign its calls to AWS: in the environment of a plain Lambda, from
    botocore's chain anywhere else (SnapStart).
    """
    access_key, secret_key = env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")
    if access_key and secret_key:
        fixed = Credentials(access_key, secret_key, env.get("AWS_SESSION_TOKEN") or None)
        return lambda: fixed
    return _Chain()


class _Chain:
    """Credentials that botocore finds and renews; imported only where there are none in the environment."""

    def __init__(self) -> None:
        self._found: Any = None

    def __call__(self) -> Credentials:
        if self._found is None:
            import botocore.session  # noqa: PLC0415 - see the class's docstring

            self._found = botocore.session.get_session().get_credentials()
        if self._found is None:
            raise InvalidSettings("no AWS credentials: neither in the environment nor in botocore's chain")
        frozen = self._found.get_frozen_credentials()
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)
