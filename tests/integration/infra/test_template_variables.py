"""The variables of the functions: those that they read, and how the numbers fit together."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import ingest_fn.settings
import worker_fn.settings
from partners import load_partner
from shared.message import READS, VERSION
from tests.integration.infra.templates import Package, Template, of_type, resolved

ROOT = Path(__file__).parents[3]


def test_the_worker_knows_how_many_it_can_be(any_stage: Template, package: Package) -> None:
    """The worker's share of the partner's limits uses the mapping's own MaximumConcurrency, wherever it was set."""
    for stage in (any_stage, package(MAX_CONCURRENCY="40")):
        (mapping,) = of_type(stage, "AWS::Lambda::EventSourceMapping").values()
        worker = of_type(stage, "AWS::Lambda::Function")["WorkerLambdaFunction"]["Environment"]["Variables"]
        assert int(worker["MAX_CONCURRENCY"]) == mapping["ScalingConfig"]["MaximumConcurrency"]


def test_connections_divide_a_batch_evenly(any_stage: Template) -> None:
    """The batch size is a multiple of the connections, so the last round keeps all of them busy."""
    worker = of_type(any_stage, "AWS::Lambda::Function")["WorkerLambdaFunction"]
    (mapping,) = of_type(any_stage, "AWS::Lambda::EventSourceMapping").values()
    assert mapping["BatchSize"] % int(worker["Environment"]["Variables"]["MAX_IN_FLIGHT"]) == 0


def test_the_worker_has_time_for_a_call_and_for_settling(any_stage: Template) -> None:
    """The longest possible call and the settling after it fit into the worker's timeout."""
    properties = of_type(any_stage, "AWS::Lambda::Function")["WorkerLambdaFunction"]
    variables = resolved(properties["Environment"]["Variables"])
    settings = worker_fn.settings.Settings.from_env(variables)
    assert settings.connect_timeout_s + settings.read_timeout_s + settings.settle_reserve_s <= properties["Timeout"]


def test_a_batch_of_slow_calls_ends_before_settling(package: Package) -> None:
    """If each message makes one call of the longest time, no message of a batch comes back unsent."""
    stage = package("production")
    (mapping,) = of_type(stage, "AWS::Lambda::EventSourceMapping").values()
    properties = of_type(stage, "AWS::Lambda::Function")["WorkerLambdaFunction"]
    settings = worker_fn.settings.Settings.from_env(resolved(properties["Environment"]["Variables"]))
    rounds = mapping["BatchSize"] / settings.max_in_flight
    assert rounds * settings.read_timeout_s <= properties["Timeout"] - settings.settle_reserve_s


class Recorded(dict[str, str]):
    """An environment that records which variables were read."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(variables)
        self.seen: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> str:
        self.seen.add(key)
        return super().__getitem__(key)


# What Lambda itself sets, and what is read for the end-to-end tests alone.
RUNTIME_VARIABLES = re.compile(r"^AWS_")
# Read by Powertools, not by us.
LIBRARY_VARIABLES = {"ingest": set[str](), "worker": {"LOG_LEVEL"}}
# Notes of a version for `spillway versions` and `promote`; no code of the function reads them.
NOTED_VARIABLES = {
    "ingest": {"COMMIT", "WRITES_MESSAGES", "LOG_FORMAT"},
    "worker": {"COMMIT", "READS_MESSAGES", "LOG_FORMAT"},
}

WEBHOOK = {
    "WEBHOOK_URL": "https://partner.example/events",
    "WEBHOOK_METHOD": "PUT",
    "WEBHOOK_HEADERS": "{}",
    "WEBHOOK_SECRET_HEADERS": "ssm:/acme/headers",
    "WEBHOOK_PER": "request",
    "WEBHOOK_AUTH": "none",
    "WEBHOOK_SUBSCRIBE_URL": "https://partner.example/lists",
    "WEBHOOK_SIGN": "false",
    "WEBHOOK_RATE": "45/20",
    "WEBHOOK_ACCOUNT_RATE": "5",
}
ITERABLE = {
    "PARTNER": "partners.iterable",
    "ITERABLE_DATA_CENTER": "eu",
    "ITERABLE_MODE": "bulk",
    "ITERABLE_LIST_RATE": "5",
}
AMPLITUDE = {"PARTNER": "partners.amplitude", "AMPLITUDE_REGION": "eu"}


@pytest.mark.parametrize("function", ["ingest", "worker"])
@pytest.mark.parametrize("partner", [WEBHOOK, ITERABLE, AMPLITUDE], ids=["webhook", "iterable", "amplitude"])
def test_a_function_is_given_the_variables_that_it_reads(
    package: Package, function: str, partner: Mapping[str, str]
) -> None:
    """The template has every variable that settings and partner read, with a value that they accept, and no other."""
    template = package(**partner)
    properties = of_type(template, "AWS::Lambda::Function")[f"{function.title()}LambdaFunction"]
    variables = Recorded({"AWS_REGION": "us-east-1", **resolved(properties["Environment"]["Variables"])})
    if function == "ingest":
        ingest_fn.settings.Settings.from_env(variables)
    else:
        worker_fn.settings.Settings.from_env(variables)
    load_partner(variables)
    read = {name for name in variables.seen if not RUNTIME_VARIABLES.match(name)}
    assert set(properties["Environment"]["Variables"]) == read | LIBRARY_VARIABLES[function] | NOTED_VARIABLES[function]


def test_a_version_notes_its_commit_and_its_messages(template: Template) -> None:
    """Ingest's environment has the message version that it writes, the worker's those that it reads, as the built code
    has them.
    """
    functions = of_type(template, "AWS::Lambda::Function")
    ingest, worker = (
        functions[name]["Environment"]["Variables"] for name in ("IngestLambdaFunction", "WorkerLambdaFunction")
    )
    assert ingest["WRITES_MESSAGES"] == str(VERSION)
    assert worker["READS_MESSAGES"] == ",".join(map(str, READS))
    assert ingest["COMMIT"] == worker["COMMIT"]
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?|unknown", ingest["COMMIT"])


def test_a_partner_is_given_the_variables_that_it_names(package: Package) -> None:
    """The functions get the shell's variables that begin with the partner's name and that its file reads, but none of
    another partner or of a tool.
    """
    strangers = {"WEBHOOK_TOKEN": "canary", "ACME_URL": "https://acme.example"}
    template = package(WEBHOOK_URL="https://partner.example/events", **strangers)
    for function in of_type(template, "AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        assert (variables["PARTNER"], variables["WEBHOOK_URL"]) == (
            "partners.webhook",
            "https://partner.example/events",
        )
        assert not {"WEBHOOK_TOKEN", "ACME_URL", "WEBHOOK_RATE"} & set(variables)


def test_no_secret_is_in_the_template(any_stage: Template) -> None:
    """No variable is named like a credential, and no value looks like one."""
    for function in of_type(any_stage, "AWS::Lambda::Function").values():
        variables = dict(function["Environment"]["Variables"])
        assert variables.pop("TOKEN_SOURCE", "") == ""  # says where they are kept
        for name, value in variables.items():
            assert not re.search(r"SECRET|TOKEN|PASSWORD|API_?KEY|CREDENTIAL", name)
            assert not re.search(r"AKIA[0-9A-Z]{16}|(?i:bearer )\S|[A-Za-z0-9/+]{40}", str(value))
