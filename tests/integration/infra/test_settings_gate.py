"""A deploy refuses settings that cannot work, before AWS is asked (infra/settings.cjs, before_deploy.py)."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.infra.templates import Package, of_type
from tests.integration.infra.test_registration_gate import AFTER_THE_GATE, deploy, serverless

URL = "https://partner.example/hook"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme/headers-AbCdEf"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"WEBHOOK_SING": "true"}, "partners.webhook does not read WEBHOOK_SING. [settings.unread]"),
        ({"WEBHOOK_SING": "true"}, "Did you mean WEBHOOK_SIGN?"),
        ({"webhook_rate": "50"}, "Did you mean WEBHOOK_RATE?"),
        ({"WEBHOOK_HEADERS": '{"content-type":"application/x-www-form-urlencoded"}'}, "[body.invalid]"),
        ({"WEBHOOK_HEADERS": '{"authorization":"x"}'}, "WEBHOOK_HEADERS must not name the header authorization"),
        ({"WEBHOOK_URL": "https://hook..example/"}, "WEBHOOK_URL has a host with an empty label"),
        ({"WEBHOOK_URL": "https://partner.example:80800/"}, "WEBHOOK_URL must have a port from 1 to 65535"),
        ({"WEBHOOK_SUBSCRIBE_URL": f"{URL}\n"}, "WEBHOOK_SUBSCRIBE_URL has a space, a line break"),
        ({"ATTEMPTS": "0"}, "worker cannot start: ATTEMPTS must be a number from 1 to 10"),
        ({"MAX_AGE_S": "nan"}, "worker cannot start: MAX_AGE_S must be a number"),
        ({"TOKEN_SOURCE": "ssm:/token", "WEBHOOK_RATE": "45/0"}, "WEBHOOK_RATE must be calls a second"),
    ],
)
def test_settings_that_cannot_work_are_not_deployed(tmp_path: Path, env: dict[str, str], said: str) -> None:
    """Each bad setting is named before AWS is asked for anything."""
    code, out = deploy(tmp_path, **{"WEBHOOK_URL": URL, **env})
    assert code != 0
    assert said in out
    assert AFTER_THE_GATE not in out


def test_a_deploy_of_good_settings_goes_on(tmp_path: Path) -> None:
    """A deploy goes on if every variable of the partner is set to a good value."""
    more = {
        "WEBHOOK_SIGN": "true",
        "WEBHOOK_HEADERS": '{"X-Source":"mp"}',
        "WEBHOOK_SECRET_HEADERS": "ssm:/acme/headers",
    }
    _, out = deploy(tmp_path, WEBHOOK_URL="https://bücher.example/", **more)
    assert AFTER_THE_GATE in out


def test_a_variable_that_nobody_reads_can_be_forced_and_a_setting_that_cannot_work_cannot(tmp_path: Path) -> None:
    """--force accepts a variable that nobody reads, because a tool may have the partner's name, but not a setting with
    which a function cannot start.
    """
    _, out = deploy(tmp_path, "--force", WEBHOOK_URL=URL, WEBHOOK_TOKEN="of another tool")
    assert "Deployed by force." in out
    assert AFTER_THE_GATE in out
    _, out = deploy(tmp_path, "--force", WEBHOOK_URL=URL, ATTEMPTS="0")
    assert AFTER_THE_GATE not in out


def test_a_secret_in_a_references_place_is_not_even_packaged(tmp_path: Path) -> None:
    """A secret in place of a reference is refused, because it would be in the template; the message does not repeat
    it.
    """
    code, out = serverless(tmp_path, "package", WEBHOOK_URL=URL, WEBHOOK_SECRET_HEADERS='{"X": "canary"}')
    assert code != 0
    assert "WEBHOOK_SECRET_HEADERS must say where the headers are kept" in out
    assert "canary" not in out


def test_what_is_packaged_is_its_owners_alone(tmp_path: Path) -> None:
    """Only the owner may read the packaged files, because the template has URLs, headers and the places of secrets."""
    folder = tmp_path / "out"
    folder.mkdir(mode=0o755)
    code, said = serverless(tmp_path, "package", WEBHOOK_URL=URL)
    assert code == 0, said
    for path in (folder, *folder.iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize(
    ("source", "action", "resource"),
    [
        (
            "ssm:/acme/headers",
            "ssm:GetParameter",
            {"Fn::Sub": "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/acme/headers"},
        ),
        (f"secretsmanager:{SECRET}", "secretsmanager:GetSecretValue", SECRET),
    ],
)
def test_both_functions_may_read_what_is_kept_and_nothing_else(
    package: Package, source: str, action: str, resource: Any
) -> None:
    """A reference gives both roles permission to read exactly that entry; without a reference there is none."""
    found = of_type(package(WEBHOOK_URL=URL, WEBHOOK_SECRET_HEADERS=source), "AWS::IAM::Policy")["StoredSettingsPolicy"]
    assert found["Roles"] == [{"Ref": "IngestRole"}, {"Ref": "WorkerRole"}]
    assert found["PolicyDocument"]["Statement"] == [{"Effect": "Allow", "Action": action, "Resource": resource}]
    assert "StoredSettingsPolicy" not in of_type(package(WEBHOOK_URL=URL), "AWS::IAM::Policy")


def test_a_build_is_its_owners_alone() -> None:
    """Only the owner may enter the build's folder: it has logs and keys of the embedded AWS."""
    from infra.build import OWNER_ALONE, main

    build = Path(__file__).parents[3] / "build"
    build.chmod(0o755)
    assert main(["local"]) == 0
    assert build.stat().st_mode & 0o777 == OWNER_ALONE
