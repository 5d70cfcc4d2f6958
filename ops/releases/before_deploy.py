"""Called by a deploy before it calls AWS: `python -m ops.releases.before_deploy variables`, `settings`, `hosts`.

Each prints JSON:

variables    PARTNER and the partner's variables of this shell: infra/partner.cjs gives them to both functions
settings     findings about the variables that each function will get, which are on standard input: settings that it
             could not start with, variables that nobody reads, calls that `spillway partner check` would refuse
hosts        where workers deliver that get the environments of the list on standard input

The deploy tool calls `variables` whatever it does, so modules that only the others need are imported by these.
"""

import json
import os
import sys

from ops.console import findings
from ops.console.terminal import say_json
from ops.partner.variables import selected


def main(arguments: list[str]) -> int:
    """Answer what the command line asks for; gives the exit status."""
    if arguments == ["variables"]:
        say_json(json.dumps(selected(os.environ)))
        return 0
    if arguments == ["hosts"]:
        from ops.releases.destination import destination  # noqa: PLC0415

        say_json(json.dumps([destination(env).hosts for env in json.load(sys.stdin)]))
        return 0
    from ops.releases.told import check  # noqa: PLC0415

    found = check(os.environ, json.load(sys.stdin))
    say_json(findings.as_json(found))
    return findings.exit_status(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
