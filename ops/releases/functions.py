"""Both functions of a deployed stack in AWS: what the alias of each serves, and which versions there are."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ops.operate.stack import Stack, error_name
from ops.releases.destination import Destination, destination
from ops.releases.note import Note, read_note
from ops.releases.pair import Pair, UnknownVersion
from ops.releases.rules import Messages
from shared.errors import SpillwayError

BEFORE_NOTES = "1"
"""The messages that a version writes and reads which was deployed before versions noted it."""


class AliasNotMoved(SpillwayError):
    """AWS did not move both aliases; the text says what is live now and what to run."""


@dataclass(frozen=True, slots=True)
class Alias:
    """An alias as it was read. `revision` is AWS's: a move that names it fails if somebody else was first."""

    function: str
    name: str
    version: int
    note: str
    revision: str


@dataclass(frozen=True, slots=True)
class Version:
    """A published version."""

    number: int
    commit: str
    published: str
    """When it was published, as AWS writes it: 2026-11-24T16:20:31.000+0000."""
    messages: tuple[int, ...]
    """The message versions that it writes (ingest), or reads (worker)."""
    destination: Destination


@dataclass(frozen=True, slots=True)
class Function:
    alias: Alias
    versions: Mapping[int, Version]
    """By their numbers, oldest first."""


@dataclass(frozen=True, slots=True)
class Functions:
    """Both functions, as they were a moment ago."""

    ingest: Function
    worker: Function

    @property
    def live(self) -> Pair:
        return Pair(self.ingest.alias.version, self.worker.alias.version)

    @property
    def newest(self) -> Pair:
        return Pair(max(self.ingest.versions), max(self.worker.versions))

    @property
    def destination(self) -> Destination:
        """Where the live worker delivers."""
        return self.worker.versions[self.live.worker].destination

    @property
    def note(self) -> Note:
        return read_note(self.live, self.ingest.alias.note, self.worker.alias.note)

    @property
    def messages(self) -> Messages:
        return Messages(
            {number: one.messages[0] for number, one in self.ingest.versions.items()},
            {number: one.messages for number, one in self.worker.versions.items()},
        )

    def require(self, pair: Pair) -> None:
        """Raise UnknownVersion unless both versions exist."""
        for function, number in ((self.ingest, pair.ingest), (self.worker, pair.worker)):
            if number not in function.versions:
                there = ", ".join(map(str, function.versions))
                raise UnknownVersion(f"{function.alias.function} has no version {number}; it has {there}")


class DeployedFunctions:
    """Reads and moves the aliases of a stack."""

    def __init__(self, stack: Stack) -> None:
        self._lambda = stack.client("lambda")
        self._arns = {name: stack.output(f"{name.title()}AliasArn") for name in ("ingest", "worker")}

    def read(self) -> Functions:
        """Read both functions, side by side: a rollback is a matter of seconds. Raises SpillwayError if AWS refuses."""
        try:
            with ThreadPoolExecutor(2) as both:
                return Functions(*both.map(self._function, ("ingest", "worker"), ("WRITES_MESSAGES", "READS_MESSAGES")))
        except (ClientError, BotoCoreError) as error:
            raise SpillwayError(f"the functions' versions cannot be read ({_why(error)})") from None

    def move(self, before: Functions, target: Pair, note: Note, *, worker_first: bool) -> None:
        """Point both aliases at `target`, or neither. Raises AliasNotMoved."""
        moves = [(before.ingest.alias, target.ingest), (before.worker.alias, target.worker)]
        first, second = reversed(moves) if worker_first else moves
        try:
            self._update(*first, str(note), first[0].revision)
        except (ClientError, BotoCoreError) as error:
            raise AliasNotMoved(f"{first[0].function} stays as it was ({_why(error)}), and so does the other") from None
        try:
            self._update(*second, str(note), second[0].revision)
        except (ClientError, BotoCoreError) as error:
            self._undo(first[0], _why(error), second[0], before.live)

    def delete(self, function: Function, number: int) -> None:
        """Delete a version. Raises SpillwayError if AWS refuses."""
        try:
            self._lambda.delete_function(FunctionName=function.alias.function, Qualifier=str(number))
        except (ClientError, BotoCoreError) as error:
            raise SpillwayError(f"version {number} of {function.alias.function} stays ({_why(error)})") from None

    def aliased(self, function: Function) -> set[int]:
        """Return the versions that any alias of a function serves, the share of a canary included."""
        pages = self._lambda.get_paginator("list_aliases").paginate(FunctionName=function.alias.function)
        found: set[int] = set()
        for alias in (alias for page in pages for alias in page["Aliases"]):
            shares = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights") or {}
            found |= {int(number) for number in (alias["FunctionVersion"], *shares) if number.isdigit()}
        return found

    def _update(self, alias: Alias, version: int, note: str, revision: str | None) -> None:
        guard = {"RevisionId": revision} if revision else {}
        self._lambda.update_alias(
            FunctionName=alias.function, Name=alias.name, FunctionVersion=str(version), Description=note, **guard
        )

    def _undo(self, moved: Alias, why: str, stuck: Alias, before: Pair) -> None:
        try:
            self._update(moved, moved.version, moved.note, None)
        except (ClientError, BotoCoreError) as error:
            raise AliasNotMoved(
                f"{stuck.function} stays as it was ({why}), and {moved.function} could not be put back ({_why(error)}):"
                f" run spillway promote --to {before}"
            ) from None
        raise AliasNotMoved(
            f"{stuck.function} stays as it was ({why}), and {moved.function} was put back: nothing has changed"
        ) from None

    def _function(self, name: str, noted: str) -> Function:
        _, _, rest = self._arns[name].partition(":function:")
        function, _, alias_name = rest.partition(":")
        found = self._lambda.get_alias(FunctionName=function, Name=alias_name)
        alias = Alias(
            function,
            alias_name,
            int(found["FunctionVersion"]),
            found.get("Description", ""),
            found.get("RevisionId", ""),
        )
        pages = self._lambda.get_paginator("list_versions_by_function").paginate(FunctionName=function)
        published = [one for page in pages for one in page["Versions"] if one["Version"] != "$LATEST"]
        versions = sorted((_version(one, noted) for one in published), key=lambda version: version.number)
        return Function(alias, {version.number: version for version in versions})


def _version(found: Mapping[str, Any], noted: str) -> Version:
    variables = found.get("Environment", {}).get("Variables", {})
    messages = variables.get(noted, BEFORE_NOTES)
    return Version(
        int(found["Version"]),
        variables.get("COMMIT", "unknown"),
        found["LastModified"],
        tuple(int(number) for number in messages.split(",")),
        destination(variables),
    )


def _why(error: Exception) -> str:
    name = error_name(error)
    return "somebody else moved it just now" if name == "PreconditionFailedException" else name
