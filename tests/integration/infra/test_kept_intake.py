"""A deploy leaves the intake as it is: infra/alias.cjs, with AWS's answers given."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PLAY = """
const Plugin = require('./infra/alias.cjs');
const { command, id, states } = JSON.parse(process.argv[1]);
const asked = [];
const mapping = { Properties: { Enabled: true } };
const serverless = {
  getProvider: () => ({ naming: { getStackName: () => 'spillway-dev' } }),
  processedInput: { commands: [command] },
  service: {
    provider: { compiledCloudFormationTemplate: { Resources: { WorkerEventSourceMappingSQSQueue: mapping } } },
  },
};
const plugin = new Plugin(serverless, {}, { log: {} });
const failed = (name) => Object.assign(new Error(name), { name });
plugin.sleep = async () => {};
plugin.cloudFormation = async () => ({
  send: async ({ input }) => {
    asked.push(input);
    if (!id) throw failed('ValidationError');
    return { StackResourceDetail: { PhysicalResourceId: id } };
  },
});
plugin.lambda = async () => ({
  send: async ({ input }) => {
    asked.push(input);
    if (!states.length) throw failed('ResourceNotFoundException');
    return { State: states.length > 1 ? states.shift() : states[0] };
  },
});
plugin.hooks['after:package:compileEvents']().then(() => {
  console.log(JSON.stringify([mapping.Properties.Enabled, asked]));
});
"""


def played(command: str, mapping_id: str | None, *states: str) -> tuple[bool, list[dict[str, str]]]:
    """Whether the template has the mapping enabled, and what AWS was asked."""
    node = shutil.which("node")
    assert node, "there is no node on the PATH: the project deploys with Node 20 or newer"
    given = json.dumps({"command": command, "id": mapping_id, "states": states})
    done = subprocess.run([node, "-e", PLAY, given], cwd=ROOT, capture_output=True, text=True, check=True)
    is_enabled, asked = json.loads(done.stdout)
    return is_enabled, asked


@pytest.mark.parametrize(
    ("states", "is_enabled"),
    [
        (["Enabled"], True),
        (["Disabled"], False),
        (["Disabling", "Updating", "Disabled"], False),
        (["Updating", "Enabled"], True),
        (["Updating"], True),
        (["Disabling"], False),
        ([], True),
    ],
)
def test_a_deploy_leaves_the_mapping_as_it_is(states: list[str], is_enabled: bool) -> None:
    """A paused mapping stays paused, even if the pause is still being carried out; if its state stays unknown, the
    template decides.
    """
    found, asked = played("deploy", "the-id", *states)
    assert found == is_enabled
    assert asked[0] == {"StackName": "spillway-dev", "LogicalResourceId": "WorkerEventSourceMappingSQSQueue"}
    assert asked[-1] == {"UUID": "the-id"}


def test_the_first_deploy_has_it_enabled() -> None:
    """At the first deploy there is no mapping yet, so it is enabled."""
    assert played("deploy", None)[0]


def test_a_package_asks_nobody() -> None:
    """`package` does not ask AWS: it works without credentials."""
    assert played("package", "the-id", "Disabled") == (True, [])
