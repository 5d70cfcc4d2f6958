"""A stage entered: what its file says counts as the shell's does. No library of AWS's is needed: a deploy asks, too."""

import os

from infra.stage import STAGE_FILE, StageUnusable, enter
from ops.console.terminal import say
from shared.errors import InvalidSettings


def enter_stage(stage: str) -> None:
    """Set what the stage's file says and the shell does not; what the shell overrides is said on standard error.

    Raises InvalidSettings.
    """
    try:
        entered = enter(stage, os.environ)
    except StageUnusable as error:
        raise InvalidSettings(str(error)) from None
    os.environ.update(entered.added)
    os.environ[STAGE_FILE] = ""  # for whatever asks again, and for what is started from here
    if told := entered.told():
        say(f"spillway: {told}", err=True)
