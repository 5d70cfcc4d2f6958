"""Run a command with the variables of a GitHub repository, which VARIABLES holds as a JSON object.

    VARIABLES='{"WEBHOOK_URL": "https://..."}' python3 .github/with_variables.py make deploy

A value may hold anything, line breaks too: it stays the value of its own variable. What decides how programs start
stays as it is here: a variable of that name is an error.
"""

import json
import os
import re
import sys

NAME = re.compile(r"[A-Z][A-Z0-9_]*")
OF_THE_RUNNER = re.compile(
    r"(PATH|HOME|SHELL|IFS|ENV|BASH_ENV|CDPATH|MAKEFLAGS|MAKEFILES|GNUMAKEFLAGS|VARIABLES|CI)|"
    r"PYTHON.*|(LD|NODE|NPM|GITHUB|RUNNER|ACTIONS|UV|PIP|GIT)_.*"
)
AWS_OF_A_DEPLOY = frozenset({"AWS_REGION"})
"""The credentials come from the step before this one."""


def problem_with(name: str, value: object) -> str | None:
    """Why a variable cannot be handed on; None if it can."""
    if not NAME.fullmatch(name):
        return "its name is not of capital letters, digits and _"
    if OF_THE_RUNNER.fullmatch(name) or (name.startswith("AWS_") and name not in AWS_OF_A_DEPLOY):
        return "its name is one that decides how programs start"
    if not isinstance(value, str) or "\0" in value:
        return "its value is no text"
    return None


def main(command: list[str]) -> None:
    """Replace this process by the command; ends with a line for each variable that cannot be handed on."""
    variables = json.loads(os.environ.pop("VARIABLES"))
    problems = [f"variable {name!a}: {why}" for name, value in variables.items() if (why := problem_with(name, value))]
    if problems or not command:
        sys.exit("\n".join(problems) or "which command?")
    os.execvpe(command[0], command, {**os.environ, **variables})  # noqa: S606 - the workflow's own command


if __name__ == "__main__":
    main(sys.argv[1:])
