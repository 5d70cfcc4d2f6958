"""The functions that are measured: ours out of the zips as they are deployed, the peers' compiled as those are."""

import shutil
import sys
import zipfile
from pathlib import Path

from infra.build import TARGETS, build, compile_tree
from infra.stage import ROOT

PEERS = ROOT / "bench/peers"


def ours(function: str, folder: Path) -> Path:
    """Build `ingest` or `worker` for this machine and unpack it; gives the folder."""
    zipped = build(TARGETS["local"], function, ROOT / "build").path
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(folder / function)
    return folder / function


def peers(folder: Path) -> Path:
    """The peers' modules, each a function of its own; gives the folder."""
    tree = folder / "peers"
    shutil.copytree(PEERS, tree, ignore=shutil.ignore_patterns("__pycache__"))
    compile_tree(tree, sys.executable)
    return tree
