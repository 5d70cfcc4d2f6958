"""The function's role: the credentials with which it signs its calls to AWS."""

from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import InvalidSettings
from shared.sigv4 import Credentials


def credentials_of(env: Mapping[str, str]) -> Callable[[], Credentials]:
    """Those in the environment of a plain Lambda, or behind botocore's chain anywhere else (SnapStart)."""
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
