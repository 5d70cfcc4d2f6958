"""The note that a deploy writes on both aliases: infra/alias.cjs, with AWS's answers given."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

PLAY = """
const Plugin = require('./infra/alias.cjs');
const { before, after, folder } = JSON.parse(process.argv[1]);
const written = [];
const serverless = {
  serviceDir: folder,
  classes: { Error },
  getProvider: () => ({}),
  service: {
    custom: { alias: { name: 'production' } },
    getAllFunctions: () => ['ingest', 'worker'],
    getFunction: (name) => ({ name: `spillway-dev-${name}` }),
  },
};
const plugin = new Plugin(serverless, {}, { log: {} });
plugin.before = before;
plugin.aliases = async () => after;
plugin.lambda = async () => ({ send: async ({ input }) => written.push(input) });
const say = (one) => console.log(JSON.stringify(one));
plugin.noteDeploy().then(() => say(written), (error) => say(error.message));
"""


def alias(version: int, note: str = "") -> dict[str, str]:
    return {"FunctionVersion": str(version), "Description": note}


def played(before: list[Any], after: list[Any], folder: Path = ROOT) -> Any:
    """What is written to the aliases, or the deploy's message."""
    node = shutil.which("node")
    assert node, "there is no node on the PATH: the project deploys with Node 20 or newer"
    given = json.dumps({"before": before, "after": after, "folder": str(folder)})
    done = subprocess.run([node, "-e", PLAY, given], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_both_aliases_remember_what_was_live_before() -> None:
    """A deploy writes the same note as a promote, on both aliases, whatever CloudFormation left there."""
    note = "ingest/worker 5/6 20261124T162031Z"
    written = played([alias(5, note), alias(6, note)], [alias(6), alias(7, note)])
    assert [one["FunctionName"] for one in written] == ["spillway-dev-ingest", "spillway-dev-worker"]
    [text] = {one["Description"] for one in written}
    assert text.startswith("ingest/worker 6/7 2")
    assert text.endswith("Z, 5/6 20261124T162031Z")


def test_a_first_deploy_has_nothing_before_it() -> None:
    """If neither alias existed before, the note names no earlier pair."""
    written = played([None, None], [alias(1), alias(1)])
    assert {one["Description"].rpartition(" ")[0] for one in written} == {"ingest/worker 1/1"}


@pytest.mark.parametrize("left", ["", "the note"])
def test_a_deploy_that_moves_nothing_leaves_the_note(left: str) -> None:
    """If CloudFormation dropped the note, it is written again as it was."""
    before = [alias(5, "the note"), alias(5, "the note")]
    written = played(before, [alias(5, left), alias(5, left)])
    assert [one["Description"] for one in written] == ([] if left else ["the note", "the note"])


def test_a_note_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """If the note cannot be written, the deploy fails with a message: a rollback would not know of it."""
    said = played([alias(5), alias(5)], [alias(6), alias(6)], tmp_path)
    assert said.startswith("The deploy is live, but the versions before it could not be noted for a rollback: ")
