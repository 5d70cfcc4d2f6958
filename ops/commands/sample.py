"""`spillway sample`: requests as mParticle sends them, to try a partner or a deployment with."""

from typing import Annotated

import typer

from ops.commands.options import Settings, one_line_errors, settings_of
from ops.console.terminal import say_json

KINDS = (
    "module_registration_request, event_processing_request, audience_membership_change_request, "
    "audience_subscription_request, dsr_processing_request"
)
ENVIRONMENTS = "android, ios, tvos, mobileweb, roku, xbox, firetv, unknown, smarttv, alexa"
"""As testkit.requests has them, which is loaded when the verb runs; a test holds the two together."""

Kind = Annotated[str, typer.Argument(metavar="TYPE", help=f"One of {KINDS}.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed, the same request.")]
Count = Annotated[int | None, typer.Option(min=1, help="Print this many requests, a line each, from this seed on.")]
Events = Annotated[int | None, typer.Option(min=0, help="Events in it; 0 makes a verification probe.")]
Environment = Annotated[str | None, typer.Option(help=f"One of {ENVIRONMENTS}; by default they take turns.")]
AccountId = Annotated[int | None, typer.Option(help="The integration's account at mParticle.")]


def sample(  # noqa: PLR0917 - each is an option of the command line
    kind: Kind,
    seed: Seed = 1,
    count: Count = None,
    events: Events = None,
    environment: Environment = None,
    account_id: AccountId = None,
    setting: Settings = None,
) -> None:
    """Print a valid request of one type, as mParticle sends it, or --count of them as NDJSON."""
    from ops.partner import sample as verb  # noqa: PLC0415 - ops/commands/__init__.py says why

    with one_line_errors():
        for text in verb.texts(
            kind,
            seed=seed,
            count=count,
            events=events,
            environment=environment,
            account_id=account_id,
            settings=settings_of(setting),
        ):
            say_json(text)
