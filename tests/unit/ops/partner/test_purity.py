"""What a mapping may not do is seen, wherever it does it; what it may do is not."""

# ruff: noqa: DTZ005, DTZ011, PLW0108, PTH208, T201 - the calls are what a partner should not have written

import contextlib
import datetime
import gc
import logging
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from time import time as imported_time
from typing import Any

import pytest

from ops.partner import purity
from ops.partner.purity import Refused, Watch

HERE = Path(__file__).parent


def watched(act: Callable[[], Any]) -> Watch:
    watch = Watch(HERE)
    with watch.over():
        act()
    return watch


def swallows() -> None:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", 9))


IMPURE: list[tuple[str, Callable[[], Any]]] = [
    (purity.CLOCK, lambda: time.time()),
    (purity.CLOCK, lambda: imported_time()),
    (purity.CLOCK, lambda: time.monotonic_ns()),
    (purity.CLOCK, lambda: time.strftime("%Y")),
    (purity.CLOCK, lambda: time.localtime()),
    (purity.CLOCK, lambda: time.gmtime(None)),
    (purity.CLOCK, lambda: datetime.datetime.now(datetime.UTC)),
    (purity.CLOCK, lambda: datetime.datetime.now()),
    (purity.CLOCK, lambda: datetime.date.today()),
    (purity.CLOCK, lambda: uuid.uuid1()),
    (purity.DICE, lambda: random.random()),
    (purity.DICE, lambda: random.choice([1, 2])),
    (purity.DICE, lambda: random.Random().random()),
    (purity.DICE, lambda: uuid.uuid4()),
    (purity.DICE, lambda: secrets.token_hex()),
    (purity.DICE, lambda: os.urandom(1)),
    (purity.ENVIRONMENT, lambda: os.environ.get("HOME")),
    (purity.ENVIRONMENT, lambda: os.getenv("HOME")),
    (purity.ENVIRONMENT, lambda: "HOME" in os.environ),
    (purity.ENVIRONMENT, lambda: dict(os.environ)),
    (purity.FILE, lambda: Path(__file__).read_text()),
    (purity.FILE, lambda: Path("/nowhere").exists()),
    (purity.FILE, lambda: os.listdir(HERE)),
    (purity.SOCKET, swallows),
    (purity.SLEEP, lambda: time.sleep(0)),
    (purity.THREAD, lambda: threading.Thread(target=int).start()),
    (purity.MACHINE, lambda: os.getpid()),
    (purity.LOG, lambda: print("canary", end="")),
    (purity.LOG, lambda: sys.stdout.write("")),
    (purity.LOG, lambda: logging.getLogger("partner").warning("canary")),
]  # fmt: skip


@pytest.mark.parametrize(("what", "act"), IMPURE, ids=[f"{what}-{n}" for n, (what, _) in enumerate(IMPURE)])
def test_an_act_is_seen_with_its_place(what: str, act: Callable[[], Any]) -> None:
    """Clock, dice, environment, files, sockets, sleeping, threads, logs: each with file and line."""
    acts = watched(act).acts
    assert what in {act.what for act in acts}
    assert all(act.where.startswith("test_purity.py:") for act in acts)


@pytest.mark.parametrize(
    "act", [lambda: socket.create_connection(("127.0.0.1", 9)), lambda: subprocess.run(["true"], check=True)]
)
def test_reaching_out_is_prevented(act: Callable[[], Any]) -> None:
    """A check never calls anybody: the connection is not made, the process not started."""
    with pytest.raises(Refused):
        watched(act)


@pytest.mark.parametrize(
    "act",
    [
        lambda: random.Random(5).random(),
        lambda: time.gmtime(5),
        lambda: time.strftime("%Y", time.gmtime(5)),
        lambda: datetime.datetime.fromtimestamp(5, datetime.UTC).strftime("%Y-%m-%d"),
        lambda: uuid.uuid5(uuid.NAMESPACE_URL, "x"),
        lambda: __import__("colorsys"),
    ],
)
def test_what_hangs_on_its_arguments_alone_is_pure(act: Callable[[], Any]) -> None:
    """Seeded dice, given times, names, and an import that comes late."""
    assert watched(act).acts == []


def test_others_acts_are_not_the_partner_s(tmp_path: Path) -> None:
    """Code outside of the partner's folder may do what it likes, if nobody of the folder asked it to."""
    watch = Watch(tmp_path)
    with watch.over():
        time.time()
    assert watch.acts == []


def test_afterwards_nothing_is_watched() -> None:
    """Clock functions are themselves again, and acts are nobody's business."""
    before = (time.gmtime, time.strftime, sys.getprofile())
    watch = watched(lambda: None)
    assert (time.gmtime, time.strftime, sys.getprofile()) == before
    time.time()
    assert watch.acts == []


def test_what_collects_garbage_is_not_the_partner_s() -> None:
    """A collection may come amid a mapping, with callbacks that read the clock: not while it is watched."""
    gc.callbacks.append(lambda *_: time.time())
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        acts = watched(lambda: [[number] for number in range(10_000)]).acts
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.pop()
    assert acts == []
    assert gc.isenabled()
