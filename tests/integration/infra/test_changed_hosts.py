"""A deploy that would move the stage to another host is refused, even if the host is in the partner's code:
infra/changes.cjs, with AWS's answers given.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

PLAY = """
const Changes = require('./infra/changes.cjs');
const { live, next } = JSON.parse(process.argv[1]);
const said = [];
const serverless = {
  serviceDir: '.',
  getProvider: () => ({ naming: { getStackName: () => 'spillway-dev' }, getStage: () => 'dev' }),
  classes: { Error },
};
const plugin = new Changes(serverless, {}, { log: { notice: (text) => said.push(text) } });
plugin.live = async () => live && { env: live, told: {} };
plugin.next = () => ({ env: next, told: {} });
plugin.show().then(() => '', ({ message }) => message).then((refused) => {
  console.log(JSON.stringify([said.join(), refused]));
});
"""

AMPLITUDE = {"PARTNER": "partners.amplitude"}
WEBHOOK = {"PARTNER": "partners.webhook", "WEBHOOK_URL": "https://hooks.example/in"}


def shown(live: dict[str, str] | None, following: dict[str, str]) -> Any:
    """What the deploy prints, and why it is refused."""
    node = shutil.which("node")
    assert node, "there is no node on the PATH: the project deploys with Node 20 or newer"
    given = json.dumps({"live": live, "next": following})
    done = subprocess.run([node, "-e", PLAY, given], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("live", [AMPLITUDE, {**AMPLITUDE, "AMPLITUDE_REGION": "us"}])
def test_another_region_is_another_host(live: dict[str, str]) -> None:
    """Another region is refused, because customers' keys would go to another API."""
    said, refused = shown(live, {**AMPLITUDE, "AMPLITUDE_REGION": "eu"})
    hosts = "amplitude.com and api2.amplitude.com → partners.amplitude, analytics.eu.amplitude.com and api.eu."
    assert f"partner: partners.amplitude, {hosts}amplitude.com" in said
    assert "amplitude.com,api2.amplitude.com → analytics.eu.amplitude.com,api.eu.amplitude.com" in said
    assert "would replace what is live: AMPLITUDE_REGION." in refused


@pytest.mark.parametrize(
    ("live", "following"),
    [
        ({**AMPLITUDE, "AMPLITUDE_REGION": "eu"}, {**AMPLITUDE, "AMPLITUDE_REGION": "eu"}),
        (AMPLITUDE, {**AMPLITUDE, "AMPLITUDE_REGION": "us"}),
        ({**WEBHOOK, "WEBHOOK_RATE": "5"}, {**WEBHOOK, "WEBHOOK_RATE": "50"}),
        ({"PARTNER": "partners.gone", "GONE_MODE": "a"}, {"PARTNER": "partners.gone", "GONE_MODE": "b"}),
        (None, AMPLITUDE),
    ],
)
def test_what_leaves_the_host_is_not_refused(live: dict[str, str] | None, following: dict[str, str]) -> None:
    """A change that leaves the host is not refused, nor one of a partner whose code is not here."""
    assert shown(live, following)[1] == ""


def test_a_url_is_refused_by_its_own_name() -> None:
    """If a URL changes, the refusal names its variable and no other."""
    following = {**WEBHOOK, "WEBHOOK_URL": "https://other.example/in", "WEBHOOK_RATE": "50"}
    said, refused = shown({**WEBHOOK, "WEBHOOK_RATE": "5"}, following)
    assert "WEBHOOK_URL: changed, hooks.example → other.example" in said
    assert "would replace what is live: WEBHOOK_URL." in refused
