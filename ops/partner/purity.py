"""Detects a mapping that does more than map: that reads a clock, a file, the environment or random numbers, opens a
socket, logs.

Three ways of looking, each for what the others miss: Python's audit events (sockets, files, processes, threads,
sleeping), its profiler (every C function that Python code calls: clocks, random numbers, the file system; and the
environment, which is read in Python), and stand-ins for the few functions that read the clock only when they are not
given a time. None of them sees what C code calls by itself: a clock handed to `map`, an extension's own system calls.
"""

import _thread
import builtins
import gc
import logging
import os
import posix
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

CLOCK = "reads the clock"
DICE = "draws a random number"
FILE = "reads or changes files"
SOCKET = "opens a socket"
PROCESS = "starts a process"
THREAD = "starts a thread"
ENVIRONMENT = "reads the environment"
SLEEP = "sleeps"
MACHINE = "asks which machine or process it is"
LOG = "prints or logs"

AUDIT_EVENTS = {
    "open": FILE,
    "os.": FILE,
    "shutil.": FILE,
    "tempfile.": FILE,
    "glob.": FILE,
    "pathlib.": FILE,
    "sqlite3.": FILE,
    "os.putenv": ENVIRONMENT,
    "os.unsetenv": ENVIRONMENT,
    "os.system": PROCESS,
    "os.exec": PROCESS,
    "os.fork": PROCESS,
    "os.forkpty": PROCESS,
    "os.posix_spawn": PROCESS,
    "subprocess.": PROCESS,
    "socket.": SOCKET,
}
"""Audit event, or the beginning of several, and what it means; the longest name that fits counts."""

REFUSED = frozenset({SOCKET, PROCESS})
"""Acts that are not only noted but prevented: a check must not reach anybody."""

_TIME = (
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "process_time",
    "clock_gettime",
)
_POSIX = {"urandom": DICE, "getrandom": DICE, "stat": FILE, "lstat": FILE, "access": FILE, "getcwd": MACHINE}
_POSIX |= {"getpid": MACHINE, "uname": MACHINE, "getlogin": MACHINE, "cpu_count": MACHINE}
C_FUNCTIONS: dict[Any, str] = {
    **{getattr(time, name): CLOCK for name in _TIME},
    **{getattr(posix, name): what for name, what in _POSIX.items() if hasattr(posix, name)},
    time.sleep: SLEEP,
    _thread.start_new_thread: THREAD,
    builtins.print: LOG,
}
if generate := getattr(uuid, "_generate_time_safe", None):
    C_FUNCTIONS[generate] = CLOCK
_DATES = frozenset({"now", "utcnow", "today"})
_ENVIRON: Any = type(os.environ)
CODES: dict[CodeType, str] = {
    **{getattr(_ENVIRON, name).__code__: ENVIRONMENT for name in ("__getitem__", "__iter__", "__len__", "__setitem__")},
    logging.Logger._log.__code__: LOG,  # its public callers are many
}
_RANDOM_INIT = random.Random.__init__.__code__
_SHARED_DICE: Any = getattr(random.random, "__self__", None)
"""The instance behind the functions of `random`."""

OF_NOW = {"gmtime": 0, "localtime": 0, "ctime": 0, "asctime": 0, "strftime": 1}
"""Functions of `time` that read the clock when they get at most this many arguments."""


class Refused(PermissionError):
    """Raised in a mapping instead of reaching out."""


class Act(NamedTuple):
    """One thing that a mapping did, and where: `acme.py:41`."""

    what: str
    where: str


class Watch:
    """Notes what code below `folder` does, itself or through others, while it is watched. For one thread only."""

    def __init__(self, folder: Path) -> None:
        self._folder = f"{folder.resolve()}{os.sep}"
        self.acts: list[Act] = []

    @contextmanager
    def over(self, *, closely: bool = True) -> Iterator[None]:
        """Watch the block; not `closely` without the profiler, which takes most of the time."""
        stand_ins = {name: self._stand_in(getattr(time, name), given) for name, given in OF_NOW.items()}
        originals = {name: getattr(time, name) for name in OF_NOW}
        before, collects = sys.getprofile(), gc.isenabled()
        gc.disable()  # the finalizers and callbacks that it would run amid a mapping are not the mapping's
        vars(time).update(stand_ins)
        _watching.append(self)
        if closely:
            sys.setprofile(self._profiled)
        try:
            yield
        finally:
            sys.setprofile(before)
            _watching.remove(self)
            vars(time).update(originals)
            if collects:
                gc.enable()

    def note(self, what: str, frame: FrameType | None) -> bool:
        """Note an act if the partner's code stands behind it; what an import does is not the mapping's doing."""
        where = None
        while frame is not None:
            file = frame.f_code.co_filename
            if file.startswith("<frozen importlib"):
                return False
            if where is None and file.startswith(self._folder):
                where = f"{file.removeprefix(self._folder)}:{frame.f_lineno}"
            frame = frame.f_back
        if where is None:
            return False
        act = Act(what, where)
        if act not in self.acts:
            self.acts.append(act)
        return True

    def _profiled(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            what = _meaning(argument)
        elif event == "call":
            what = CODES.get(frame.f_code)
            if frame.f_code is _RANDOM_INIT and frame.f_locals.get("x") is None:
                what = DICE
        else:
            return
        if what is not None:
            self.note(what, frame)

    def _stand_in(self, function: Callable[..., Any], given: int) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            if len(arguments) <= given or arguments[given] is None:
                self.note(CLOCK, sys._getframe(1))
            return function(*arguments)

        return called


_watching: list[Watch] = []


def _meaning(function: Any) -> str | None:
    """What a call of a C function means."""
    owner = getattr(function, "__self__", None)
    if owner is _SHARED_DICE:
        return DICE
    if isinstance(owner, type) and issubclass(owner, date) and function.__name__ in _DATES:
        return CLOCK
    if (owner is sys.stdout or owner is sys.stderr) and function.__name__ == "write":
        return LOG
    try:
        return C_FUNCTIONS.get(function)
    except TypeError:  # the method of something that has no hash
        return None


def _audited(event: str, arguments: tuple[Any, ...]) -> None:  # noqa: ARG001 - Python's signature
    if not _watching:
        return
    names = [name for name in AUDIT_EVENTS if event == name or (name.endswith(".") and event.startswith(name))]
    if not names:
        return
    what = AUDIT_EVENTS[max(names, key=len)]
    if _watching[-1].note(what, sys._getframe(1)) and what in REFUSED:
        raise Refused(f"a mapping {what}")


sys.addaudithook(_audited)  # for good: Python knows no way back, and outside of a watch it does nothing
