"""Options that several verbs have, and the way in which all of them fail."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ops.console.terminal import say
from shared.errors import InvalidSettings, SpillwayError

Stage = Annotated[str, typer.Option("--stage", envvar="STAGE", help="The deployed stage.")]
Since = Annotated[
    str, typer.Option("--since", metavar="WHEN", help="Since when: 30min, 3h or 2d ago, or 2026-11-24T10:00Z.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for tools.")]
Why = Annotated[
    str,
    typer.Option("--why", metavar="TEXT", help="Your reason, one line for the trail; nothing of a customer's data."),
]
WhyItStays = Annotated[
    str,
    typer.Option(
        "--why",
        metavar="TEXT",
        help="Your reason, in one line that others will read: must be given; nothing of a customer's data.",
    ),
]
For = Annotated[
    str,
    typer.Option(
        "--for", metavar="LENGTH", help="How long it holds: must be given, as 45s, 30min, 2h, 1d; at most 7d."
    ),
]
Account = Annotated[
    str | None, typer.Option("--account", metavar="ID", help="Only for this account, by mParticle's id.")
]
Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="NAME", help="Only for the account's bulk calls to it, if they have a rate."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--setting", metavar="NAME=VALUE", help="A setting of the customer's account, an API key say; repeatable."
    ),
]


def finite(value: float | None) -> float | None:
    """A number that counts something: `nan` is within any bounds for Typer, and `inf` within most."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number to count with")
    return value


def settings_of(given: Iterable[str] | None) -> dict[str, str]:
    """Read what --setting was given. Raises InvalidSettings that does not quote it: it may be a credential."""
    settings = {}
    for number, text in enumerate(given or (), start=1):
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InvalidSettings(f"--setting number {number} must be NAME=VALUE: --setting apiKey=abc")
        settings[name] = value
    return settings


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Say what to change in one line and end with status 2, instead of a traceback."""
    try:
        yield
    except SpillwayError as error:
        say(f"spillway: {error}", err=True)
        raise typer.Exit(2) from None
