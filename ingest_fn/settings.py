"""Ingest's settings: read from the environment once, at the first invocation."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from shared.environment import credentials_of, endpoint_of, one_of
from shared.errors import InvalidSettings
from shared.sigv4 import Credentials
from shared.stored import FORM, Reference, reference_of
from shared.telemetry import LOG_EVENTS, facts_for

_STORES = ("ssm", "secretsmanager")
"""Services in which a setting's text may be kept."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`env` is kept for the partner, which reads its own variables when it is asked for."""

    queue_url: str
    state_table: str
    sqs_endpoint: str
    dynamodb_endpoint: str
    region: str
    fifo: bool
    stage: str
    token_store: Reference | None
    """The place of the Function URL's tokens. None: there is no such URL, and its requests are refused."""
    facts: Callable[..., None]
    """Writes facts to the log; LOG_EVENTS=off leaves out those of each request."""
    trace: Callable[[], str | None]
    """The X-Ray header of this invocation, for the message; TRACING=on."""
    store_endpoints: Mapping[str, str]
    """The endpoints of `ssm` and `secretsmanager`."""
    credentials: Callable[[], Credentials] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read the settings. Raises InvalidSettings, which names the missing or bad variable."""
        env = os.environ if env is None else env
        queue_url = env.get("QUEUE_URL", "")
        address = urlsplit(queue_url)
        if address.scheme not in {"http", "https"} or not address.netloc:
            raise InvalidSettings("QUEUE_URL must be the URL of the SQS queue")
        region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or ""
        if not region:
            raise InvalidSettings("AWS_REGION must name the queue's region; Lambda sets it")
        sqs = env.get("AWS_ENDPOINT_URL_SQS") or env.get("AWS_ENDPOINT_URL") or f"{address.scheme}://{address.netloc}"
        if not env.get("STATE_TABLE"):
            raise InvalidSettings("STATE_TABLE must name the state table")
        return cls(
            queue_url=queue_url,
            state_table=env["STATE_TABLE"],
            sqs_endpoint=sqs,
            dynamodb_endpoint=endpoint_of("dynamodb", env, region=region),
            region=region,
            fifo=one_of(env, "QUEUE_TYPE", ("standard", "fifo")) == "fifo",
            stage=env.get("STAGE") or "none",
            token_store=_token_store(env),
            facts=facts_for(one_of(env, "LOG_EVENTS", LOG_EVENTS)),
            trace=(lambda: env.get("_X_AMZN_TRACE_ID"))
            if one_of(env, "TRACING", ("off", "on")) == "on"
            else (lambda: None),
            store_endpoints={service: endpoint_of(service, env, region=region) for service in _STORES},
            credentials=credentials_of(env),
            env=env,
        )


def _token_store(env: Mapping[str, str]) -> Reference | None:
    source = env.get("TOKEN_SOURCE", "")
    if not source:
        return None
    reference = reference_of(source)
    if reference is None:
        raise InvalidSettings(f"TOKEN_SOURCE must say where the tokens are kept: {FORM}")
    return reference
