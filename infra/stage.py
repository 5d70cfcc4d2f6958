"""A stage: its name, and the variables of its file, `.env.<stage>`.

Every command reads that file: those in Python by `ops/operate/stack.py`, the deploy tool by `infra/stage.cjs`, which
runs this module. So there is one parser and one set of rules. It needs only the standard library, because a fresh clone
has no more.

    # .env.production
    PARTNER=partners.webhook
    WEBHOOK_URL='https://hooks.example/in'   # the shell's own WEBHOOK_URL would win over it
"""

import json
import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PODS = Path(__file__).with_name("pods.json")
SERVICE = "spillway"
DEFAULT_POD = "us1"

STAGE_FILE = "STAGE_FILE"
"""The variable that names another file. If it is empty, no file is read: a command empties it for its subprocesses."""

SAID_TOGETHER = (
    frozenset(
        {
            "AWS_PROFILE",
            "AWS_DEFAULT_PROFILE",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_ROLE_ARN",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
        }
    ),
    frozenset({"AWS_REGION", "AWS_DEFAULT_REGION"}),
)
"""Variables that belong together, for identity and for region: each group is taken from the shell or from the file as
a whole, never half from each.
"""

MAX_FUNCTION_NAME = 64
"""Lambda's limit. Of all names in a stack, those of the functions (`-ingest`, `-worker`) reach their limit first."""
LONGEST_SUFFIX = len("-ingest")

DATA, LOG_FORMATS = ("keep", "delete"), ("text", "json")

OF_A_COMMAND = frozenset({"ALLOW", "FORCE", "YES"})
"""They permit one deploy or one removal; in a stage's file they would permit every one, without a question."""

_STAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_EXPORT = re.compile(r"^export\s+")
_COMMENT = re.compile(r"(?:^|\s)#.*$")


class StageUnusable(Exception):
    """A stage's name or file cannot be used; the error's text says in one line what to change, and shows no value."""


@dataclass(frozen=True, slots=True)
class Entered:
    """The variables that a stage's file added to the shell's, and those that the shell overrides."""

    stage: str
    file: str | None
    """The file's name; None if there is no file."""
    added: Mapping[str, str]
    overridden: tuple[str, ...]
    """The names of variables that the shell sets to another value than the file."""

    def told(self) -> str:
        """Say in a line what the shell overrides; empty if it overrides nothing."""
        if not self.overridden:
            return ""
        rest = ", ".join(sorted(self.added)) or "nothing"
        return f"stage {self.stage}: {', '.join(self.overridden)} from the shell; {rest} from {self.file}"


def enter(stage: str, shell: Mapping[str, str], folder: Path = ROOT) -> Entered:
    """Read a stage's file, and compare it with the shell. Raises StageUnusable."""
    check_name(stage, shell.get("POD") or DEFAULT_POD)
    named = shell.get(STAGE_FILE)
    path = folder / f".env.{stage}" if named is None else Path(named) if named else None
    said: dict[str, str] = {}
    if path is not None and (named or path.exists()):
        said = read(path)
    taken = {name for whole in SAID_TOGETHER if whole & shell.keys() for name in whole} | shell.keys()
    added = {name: value for name, value in said.items() if name not in taken}
    overridden = tuple(name for name in said if name in taken and said[name] != shell.get(name))
    entered = Entered(stage, path.name if said and path else None, added, overridden)
    check_values({**added, **shell})
    check_name(stage, added.get("POD") or shell.get("POD") or DEFAULT_POD)
    return entered


def check_name(stage: str, pod: str) -> None:
    """Raise StageUnusable for a stage's name that cannot be part of the names in AWS, or seems to name a pod."""
    shown = stage if len(stage) <= 80 else f"{stage[:77]}..."
    pods = json.loads(PODS.read_text())
    if pod not in pods:
        raise StageUnusable(f"POD={pod} is no pod of mParticle's: it is one of {', '.join(pods)}")
    if not _STAGE.fullmatch(stage):
        raise StageUnusable(
            f"the stage {shown!r} cannot be part of a name in AWS: letters, digits and hyphens between them"
        )
    for other in pods:
        if stage.startswith(f"{other}-"):
            raise StageUnusable(
                f"the stage {shown!r} begins with the pod's name {other}, and would be taken for a stage of that pod:"
                f" set POD={other} STAGE={stage.removeprefix(f'{other}-')}, or choose another name"
            )
    prefix = f"{SERVICE}{pods[pod]['suffix']}-"
    longest = MAX_FUNCTION_NAME - LONGEST_SUFFIX - len(prefix)
    if len(stage) > longest:
        raise StageUnusable(
            f"the stage {shown!r} has {len(stage)} characters and may have {longest}: Lambda takes function names of"
            f" up to {MAX_FUNCTION_NAME} characters, and {prefix}…-ingest is one"
        )


def check_values(variables: Mapping[str, str]) -> None:
    """Raise StageUnusable for a bad value of a variable that nothing else checks."""
    data = variables.get("DATA") or DATA[0]
    if data not in DATA:
        raise StageUnusable("DATA, what a removal does with queues and table, must be keep or delete")
    if (variables.get("LOG_FORMAT") or LOG_FORMATS[0]) not in LOG_FORMATS:
        raise StageUnusable("LOG_FORMAT, the form in which Lambda writes the functions' logs, must be text or json")


def read(path: Path) -> dict[str, str]:
    """Read a stage's file. Raises StageUnusable if other users may read the file, or if a line is not NAME=VALUE."""
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise StageUnusable(f"{path.name} may hold secrets, and other users may read it: chmod 600 {path.name}")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise StageUnusable(f"{path.name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StageUnusable(f"{path.name} cannot be read: it is no UTF-8") from None
    try:
        return parse(text)
    except StageUnusable as error:
        raise StageUnusable(f"{path.name}, {error}") from None


def parse(text: str) -> dict[str, str]:
    """Read NAME=VALUE lines. A value ends at ` #`; a value in quotes is taken as it is, but in double quotes `\\"` is a
    quote and `\\\\` a backslash. `$` has no special meaning. Raises StageUnusable with the line's number.
    """
    said: dict[str, str] = {}
    first: dict[str, int] = {}
    for number, raw in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, rest = _EXPORT.sub("", line).partition("=")
        name = name.strip()
        if not equals:
            raise StageUnusable(f"line {number}: it has no =, a line is NAME=VALUE")
        if not _NAME.fullmatch(name):
            raise StageUnusable(f"line {number}: before the = must be a variable's name, in capitals like WEBHOOK_URL")
        if name in first:
            raise StageUnusable(f"line {number}: {name} is set in line {first[name]} already")
        if name in OF_A_COMMAND:
            raise StageUnusable(f"line {number}: {name} is meant for one command: set it there")
        if name in {"STAGE", STAGE_FILE}:
            raise StageUnusable(f"line {number}: {name} does not belong here: the file's name says the stage")
        first[name] = number
        said[name] = _value(rest.strip(), number)
    return said


def _value(text: str, number: int) -> str:
    quote = text[:1]
    if quote not in {"'", '"'}:
        value = _COMMENT.sub("", text).strip()
        if not value.isprintable():
            raise StageUnusable(f"line {number}: the value holds a character that cannot be shown")
        return value
    value, place = "", 1
    while place < len(text) and text[place] != quote:
        if quote == '"' and text[place : place + 2] in {'\\"', "\\\\"}:
            place += 1
        value += text[place]
        place += 1
    if place >= len(text):
        raise StageUnusable(f"line {number}: the quote is not closed in the line")
    if _COMMENT.sub("", text[place + 1 :]).strip():
        raise StageUnusable(f"line {number}: there is text after the closing quote")
    if not value.isprintable():
        raise StageUnusable(f"line {number}: the value holds a character that cannot be shown")
    return value


def main(arguments: list[str]) -> int:
    """Print the stage as JSON, for infra/stage.cjs; returns the exit code."""
    try:
        entered = enter(arguments[0], os.environ)
    except StageUnusable as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"file": entered.file, "added": dict(entered.added), "told": entered.told()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
