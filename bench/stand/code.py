"""The functions that are measured: Spillway's from the zips that are deployed, the peers' compiled in the same way."""

import shutil
import sys
import zipfile
from pathlib import Path

from infra.build import TARGETS, build, compile_tree
from infra.stage import ROOT

PEERS = ROOT / "bench/peers"


def ours(function: str, folder: Path) -> Path:
    """Build `ingest` or `worker` for this machine and unpack it; returns the folder."""
    zipped = build(TARGETS["local"], function, ROOT / "build").path
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(folder / function)
    return folder / function


def peers(folder: Path) -> Path:
    """Copy and compile the peers' modules, each of which is a function; returns the folder."""
    tree = folder / "peers"
    shutil.copytree(PEERS, tree, ignore=shutil.ignore_patterns("__pycache__"))
    compile_tree(tree, sys.executable)
    return tree
