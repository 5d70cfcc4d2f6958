"""What an operator does to a deployed stack: the suspended accounts' clear, and a pause of the intake."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ops.local.aws import local_aws
from ops.local.partner_api import Behaviour, LoopbackPartner, serve
from tests.e2e.operated import Operated, until


def mapping_state(operated: Operated) -> str:
    found = operated.aws.client("lambda").get_event_source_mapping(UUID=operated.outputs["WorkerMappingId"])
    return str(found["State"])


def tick(operated: Operated) -> dict[str, Any]:
    payload = json.dumps({"tick": {"mapping_id": operated.outputs["WorkerMappingId"]}})
    answer = operated.aws.client("lambda").invoke(FunctionName=operated.outputs["WorkerAliasArn"], Payload=payload)
    report: dict[str, Any] = json.loads(answer["Payload"].read())
    return report


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A stack on an AWS that enforces IAM, which shows that the worker's role is enough."""
    api = LoopbackPartner(Behaviour())
    with serve(api) as url, local_aws(enforce_iam=True) as aws:
        outputs = aws.deploy(env={"WEBHOOK_URL": url})
        yield Operated(aws, api, url, outputs, tmp_path_factory.mktemp("shell"))


@pytest.fixture
def operated(deployed: Operated) -> Operated:
    """The shared stack, reset: its partner takes every key, whatever an earlier test left behind."""
    deployed.api.begin(Behaviour())
    return deployed


def test_operator_lists_and_clears_a_suspended_account(operated: Operated) -> None:
    """An account whose key is refused is listed and its messages are parked; a clear brings them back and delivers
    them, without waiting for messages that are still hidden, like the probe.
    """

    def listed() -> Any:
        return json.loads(operated.spillway("suspensions", "--json"))

    def refused() -> dict[str, int]:  # a hidden message of another test may bring its own account back
        found = {one["account_id"]: one["status"] for one in listed()["suspensions"]}
        return {account: status for account, status in found.items() if account in {"5", "6"}}

    operated.api.begin(Behaviour(token="good"))
    assert refused() == {}
    for number in range(12):
        operated.send(f"5-{number}", account=5, key="old")
    operated.send("6-0", account=6, key="good")
    until(lambda: "6-0" in operated.arrived())

    until(lambda: listed()["parked_about"] >= 10)
    assert refused() == {"5": 401}
    said = operated.spillway("suspensions")
    assert "HTTP 401" in said
    assert "old" not in said
    assert "not suspended: 6" in operated.spillway("suspensions", "clear", "5", "6", status=2)
    operated.api.begin(Behaviour())  # the customer's key is good again
    said = operated.spillway("suspensions", "clear", "5")
    assert "cleared: 5" in said
    assert "messages moved back" in said
    until(lambda: len(operated.arrived()) >= 10, 100)  # the two that had a turn are hidden for three minutes
    assert refused() == {}
    operated.api.begin()
    operated.send("5-new", account=5, key="old")
    until(lambda: "5-new" in operated.arrived())


def test_operators_pause_outlasts_the_tick_and_ends_at_a_word(operated: Operated) -> None:
    """While an operator has paused the intake nothing is delivered, whatever the ticks do; after the resume everything
    is.
    """
    assert "not paused" in operated.spillway("pause", "--show")
    assert "--why" in operated.spillway("pause", status=2)
    said = operated.spillway("pause", "--why", "the partner moves its data centre")
    assert said.startswith("paused since ")
    assert "the partner moves its data centre" in said
    until(lambda: mapping_state(operated) == "Disabled")
    operated.send("7-0", account=7, key="good")
    report = tick(operated)
    assert (report["held"], report["resumed"], report["trouble"]) == (True, False, 0)
    assert mapping_state(operated) == "Disabled"
    assert "7-0" not in operated.arrived()
    assert "data centre" in operated.spillway("pause", "--show")
    assert "resumed" in operated.spillway("resume")
    until(lambda: "7-0" in operated.arrived())
    assert "not paused" in operated.spillway("pause", "--show")


def test_operators_pause_outlasts_a_deploy(operated: Operated) -> None:
    """A deploy that changes the mapping leaves it paused; if somebody enables the mapping by hand, the worker still
    sends nothing.
    """
    operated.spillway("pause", "--why", "the partner moves its data centre")
    until(lambda: mapping_state(operated) == "Disabled")
    operated.send("8-0", account=8, key="good")
    operated.aws.deploy(env={"WEBHOOK_URL": operated.url, "MAX_CONCURRENCY": "7"})
    assert mapping_state(operated) == "Disabled"
    lambdas, mapping_id = operated.aws.client("lambda"), operated.outputs["WorkerMappingId"]
    assert lambdas.get_event_source_mapping(UUID=mapping_id)["ScalingConfig"]["MaximumConcurrency"] == 7
    lambdas.update_event_source_mapping(UUID=mapping_id, Enabled=True)
    until(lambda: mapping_state(operated) == "Disabled", 100)  # the worker, or its tick, which comes once a minute
    assert "8-0" not in operated.arrived()
    assert "data centre" in operated.spillway("pause", "--show")
    operated.spillway("resume")
    until(lambda: "8-0" in operated.arrived(), 100)  # it may have been received, and be hidden for a minute


def test_operators_pause_holds_while_the_state_table_is_out_of_reach(operated: Operated) -> None:
    """A tick that cannot read the table follows the mapping's tag: with it the pause stays, without it messages come
    in.
    """
    iam = operated.aws.client("iam")
    (role,) = [one["RoleName"] for one in iam.list_roles()["Roles"] if "WorkerRole" in one["RoleName"]]
    policy = iam.get_role_policy(RoleName=role, PolicyName="state")["PolicyDocument"]
    operated.spillway("pause", "--why", "maintenance")
    until(lambda: mapping_state(operated) == "Disabled")
    iam.delete_role_policy(RoleName=role, PolicyName="state")
    try:
        report = tick(operated)
        assert (report["held"], report["resumed"]) == (True, False)
        assert report["trouble"]
        operated.spillway("resume")
        until(lambda: mapping_state(operated) == "Enabled")
    finally:
        iam.put_role_policy(RoleName=role, PolicyName="state", PolicyDocument=json.dumps(policy))


def test_operator_sees_what_became_of_each_request(operated: Operated) -> None:
    """A delivered request and one whose key is refused can be traced and followed, the ledger has no gap, and the first
    line of the screen names the account whose credentials are refused.
    """

    def traced(request_id: str) -> str:
        return operated.spillway("trace", request_id, status=None)

    operated.api.begin(Behaviour(token="good"))
    operated.send("31-0", account=31, key="good")
    for number in range(3):
        operated.send(f"32-{number}", account=32, key="old")
    until(lambda: "31-0" in operated.arrived())
    until(lambda: "parked" in traced("request-32-1") + traced("request-32-2"))
    assert "now: request-31-0 delivered" in traced("request-31-0")
    said = operated.spillway("ledger", "--json", status=0)
    sums = json.loads(said)["sums"]
    assert (sums["gap"], sums["accepted"] >= 4, sums["parked"] >= 1) == (0, True, True)
    screen = operated.spillway("status")
    assert "are refused; their messages are parked" in screen.splitlines()[0]
    assert "account 32: HTTP 401" in screen
    assert "worker: version" in screen
    assert "not read" not in screen
    assert "good" not in screen + said
    operated.api.begin(Behaviour())
    operated.spillway("suspensions", "clear", "32", "--wait")


def test_operator_turns_limit_and_breaker_by_hand(operated: Operated) -> None:
    """A limit applies until it is cleared. While the breaker is open nothing is sent, not even a probe, until its time
    is over or somebody closes it. The screen and the trail say who did it and why.
    """
    clock = time.monotonic

    def deliver(account: int, *event_ids: str) -> float:
        began_s = clock()
        for one in event_ids:
            operated.send(one, account=account, key="good")
        until(lambda: set(event_ids) <= operated.arrived(), 100)
        return clock() - began_s

    assert "a limit is 0.01 to" in operated.spillway("limit", "set", "0", "--for", "1h", "--why", "w", status=2)
    assert "no rate for all calls of an account" in operated.spillway(
        "limit", "set", "2", "--for", "1h", "--why", "w", "--account", "7", status=2
    )
    assert "there was no limit by hand" in operated.spillway("limit", "clear", status=1)
    said = operated.spillway("limit", "set", "2", "--for", "1h", "--why", "they asked for less")
    assert "at most 2 calls a second until" in said
    assert deliver(41, *(f"41-{number}" for number in range(12))) > 4
    screen = operated.spillway("status")
    assert "An operator limits all calls to 2 a second" in screen.splitlines()[0]
    assert "they asked for less" in screen
    operated.spillway("limit", "clear", "--why", "they take all again")
    assert "An operator limits" not in operated.spillway("status")

    said = operated.spillway("breaker", "open", "--for", "1h", "--why", "a restore")
    assert "the intake stays stopped by the breaker, which an operator opened" in said
    until(lambda: mapping_state(operated) == "Disabled")
    operated.send("42-0", account=42, key="good")
    assert "no probe was made: an operator opened the breaker" in operated.spillway("probe", status=1)
    screen = operated.spillway("status")
    assert "an operator opened the breaker until" in screen.splitlines()[0]
    assert "42-0" not in operated.arrived()
    assert "resumed" in operated.spillway("breaker", "close", "--why", "restored early")
    until(lambda: "42-0" in operated.arrived())
    assert "closed already" in operated.spillway("breaker", "close", status=1)

    operated.spillway("breaker", "open", "--for", "5s", "--why", "a short one")
    operated.send("43-0", account=43, key="good")
    until(lambda: "43-0" in operated.arrived(), 100)  # the tick, within a minute, makes the probe
    told = operated.spillway("trail")
    for act in ("limit set 2 for 1h of everybody", "breaker open for 1h", "a restore", "restored early"):
        assert act in told
