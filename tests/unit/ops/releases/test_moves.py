"""Promote and roll back against a Lambda in memory that keeps versions and aliases as AWS does."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops.operate.stack import Stack
from ops.releases import listing, moves
from ops.releases.functions import AliasNotMoved, DeployedFunctions
from ops.releases.moves import NotPromoted
from ops.releases.pair import Pair, UnknownVersion

NOW = datetime(2026, 11, 24, 16, 20, 31, tzinfo=UTC)
NAMES = ("spillway-x-ingest", "spillway-x-worker")


class FakeLambda:
    """Its versions write and read the messages that a test says; it refuses the calls that a test says."""

    def __init__(self, versions: list[tuple[str, str]]) -> None:
        self.versions = {
            name: {
                str(number): {"COMMIT": f"commit{number}", variable: messages[index]}
                for number, messages in enumerate(versions, start=1)
            }
            for index, (name, variable) in enumerate(zip(NAMES, ("WRITES_MESSAGES", "READS_MESSAGES"), strict=True))
        }
        self.aliases = {name: {"FunctionVersion": "1", "Description": "", "RevisionId": "0"} for name in NAMES}
        self.calls: list[tuple[str, str]] = []
        self.refused: list[int] = []
        """Which of the calls of update_alias fail, counted from 0."""

    @property
    def live(self) -> Pair:
        return Pair(*(int(self.aliases[name]["FunctionVersion"]) for name in NAMES))

    def get_alias(self, FunctionName: str, Name: str) -> dict[str, str]:  # noqa: N803
        return dict(self.aliases[FunctionName])

    def get_paginator(self, operation: str) -> "FakeLambda":
        self.operation = operation
        return self

    def paginate(self, FunctionName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        if self.operation == "list_aliases":
            yield {"Aliases": [self.aliases[FunctionName]]}
            return
        yield {"Versions": [{"Version": "$LATEST", "LastModified": ""}]}
        for number, variables in self.versions[FunctionName].items():
            at = "2026-11-24T16:00:00.000+0000"
            yield {"Versions": [{"Version": number, "LastModified": at, "Environment": {"Variables": variables}}]}

    def update_alias(self, FunctionName: str, FunctionVersion: str, Description: str, **guard: str) -> None:  # noqa: N803
        self.calls.append((FunctionName, FunctionVersion))
        if len(self.calls) - 1 in self.refused:
            raise ClientError({"Error": {"Code": "TooManyRequestsException"}}, "UpdateAlias")
        alias = self.aliases[FunctionName]
        if guard.get("RevisionId", alias["RevisionId"]) != alias["RevisionId"]:
            raise ClientError({"Error": {"Code": "PreconditionFailedException"}}, "UpdateAlias")
        revision = str(int(alias["RevisionId"]) + 1)
        alias |= {"FunctionVersion": FunctionVersion, "Description": Description, "RevisionId": revision}

    def delete_function(self, FunctionName: str, Qualifier: str) -> None:  # noqa: N803
        del self.versions[FunctionName][Qualifier]


class FakeSession:
    def __init__(self, lambdas: FakeLambda) -> None:
        self.lambdas = lambdas

    def client(self, service: str, **config: object) -> FakeLambda:
        assert service == "lambda", "a rollback needs nothing but Lambda"
        return self.lambdas


def deployed(lambdas: FakeLambda) -> DeployedFunctions:
    arns = {f"{name}AliasArn": f"arn:aws:lambda:eu-1:1:function:spillway-x-{name.lower()}:production" for name in
            ("Ingest", "Worker")}  # fmt: skip
    return DeployedFunctions(Stack("x", "eu-1", arns, FakeSession(lambdas)))


def promote(lambdas: FakeLambda, to: str | None = None) -> list[str]:
    return moves.promote(deployed(lambdas), to, clock=lambda: NOW)


def rollback(lambdas: FakeLambda) -> list[str]:
    return moves.rollback(deployed(lambdas), clock=lambda: NOW)


def test_promote_takes_the_newest_worker_first_and_rollback_ingest_first() -> None:
    """Two calls each, in the order in which the queue stays readable."""
    lambdas = FakeLambda([("1", "1")] * 3)
    said = promote(lambdas)
    assert said == [f"{name} production: 1 -> 3  commit commit3" for name in NAMES]
    assert lambdas.calls == [(NAMES[1], "3"), (NAMES[0], "3")]
    rollback(lambdas)
    assert lambdas.calls[2:] == [(NAMES[0], "1"), (NAMES[1], "1")]
    assert lambdas.live == Pair(1, 1)


def test_rolling_back_further_than_is_known_says_how_to_choose() -> None:
    """Nothing is guessed."""
    lambdas = FakeLambda([("1", "1")] * 2)
    with pytest.raises(NotPromoted, match="is not noted on the aliases: spillway versions"):
        rollback(lambdas)
    assert not lambdas.calls


def test_what_was_rolled_back_goes_live_only_by_name() -> None:
    """The newest version is the bad one then."""
    lambdas = FakeLambda([("1", "1")] * 2)
    promote(lambdas)
    rollback(lambdas)
    with pytest.raises(NotPromoted, match="was rolled back: deploy a mended one, or spillway promote --to 2"):
        promote(lambdas)
    promote(lambdas, "2")
    assert lambdas.live == Pair(2, 2)


def test_both_move_or_neither() -> None:
    """When the second call fails the first is undone, note included."""
    lambdas = FakeLambda([("1", "1")] * 2)
    lambdas.refused = [1]
    with pytest.raises(AliasNotMoved, match=r"ingest stays .*TooMany.*worker was put back: nothing has changed"):
        promote(lambdas)
    assert lambdas.live == Pair(1, 1)
    assert {alias["Description"] for alias in lambdas.aliases.values()} == {""}


def test_a_first_call_that_fails_changes_nothing() -> None:
    """The second is not made."""
    lambdas = FakeLambda([("1", "1")] * 2)
    lambdas.refused = [0]
    with pytest.raises(AliasNotMoved, match="stays as it was"):
        promote(lambdas)
    assert (lambdas.live, len(lambdas.calls)) == (Pair(1, 1), 1)


def test_an_undo_that_fails_says_what_to_run() -> None:
    """The command that mends it is in the text, and a rollback would do the same."""
    lambdas = FakeLambda([("1", "1")] * 2)
    lambdas.refused = [1, 2]
    with pytest.raises(AliasNotMoved, match=r"could not be put back .* run spillway promote --to 1$"):
        promote(lambdas)
    assert lambdas.live == Pair(1, 2)


def test_who_comes_second_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who moved an alias since it was read is not overwritten."""
    lambdas = FakeLambda([("1", "1")] * 3)
    stale = deployed(lambdas)
    read = stale.read()
    promote(lambdas, "2")
    monkeypatch.setattr(stale, "read", lambda: read)
    with pytest.raises(AliasNotMoved, match="somebody else moved it just now"):
        moves.promote(stale, "3", clock=lambda: NOW)
    assert lambdas.live == Pair(2, 2)


def test_a_rollback_that_would_strand_messages_is_refused_and_the_offer_works() -> None:
    """The worker of the new form stays, and ingest alone goes back."""
    lambdas = FakeLambda([("1", "1"), ("2", "1,2")])
    promote(lambdas)
    with pytest.raises(NotPromoted, match="spillway promote --to ingest=1,worker=2"):
        rollback(lambdas)
    assert lambdas.live == Pair(2, 2)
    said = promote(lambdas, "ingest=1,worker=2")
    assert [line.partition("  ")[0] for line in said] == [
        "spillway-x-ingest production: 2 -> 1",
        "spillway-x-worker production: stays 2",
    ]
    assert lambdas.live == Pair(1, 2)


def test_a_version_that_is_not_there_changes_nothing() -> None:
    """The versions that there are stand in the text."""
    lambdas = FakeLambda([("1", "1")] * 2)
    with pytest.raises(UnknownVersion, match="spillway-x-ingest has no version 9; it has 1, 2"):
        promote(lambdas, "9")
    assert not lambdas.calls


def test_pruning_keeps_what_is_live_and_what_was_before() -> None:
    """However few are to be kept."""
    lambdas = FakeLambda([("1", "1")] * 6)
    promote(lambdas, "2")
    promote(lambdas, "4")
    stack = deployed(lambdas)
    gone = listing.prune(stack, stack.read(), 1)
    assert [set(numbers) for numbers in lambdas.versions.values()] == [{"2", "4", "6"}] * 2
    assert len(gone) == 6
    assert listing.prune(stack, stack.read(), 1) == []
    rollback(lambdas)
    assert lambdas.live == Pair(2, 2)
