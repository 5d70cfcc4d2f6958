"""Entering a stage: variables of its file count as set by the shell. Needs no library of AWS: a deploy uses it, too."""

import os

from infra.stage import STAGE_FILE, StageUnusable, enter
from ops.console.terminal import say
from shared.errors import InvalidSettings


def enter_stage(stage: str) -> None:
    """Set the variables that the stage's file has and the shell does not; name those that the shell overrides on
    standard error.

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
