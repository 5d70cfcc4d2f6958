"""Build the functions' zips: `python -m infra.build [aws] [local]`.

    build/aws/ingest.zip    build/aws/worker.zip      for AWS: python3.13 on arm64, as serverless.yml deploys them
    build/local/ingest.zip  build/local/worker.zip    for this machine: the embedded AWS runs them in our interpreter

and beside them release.json: their commit, and the versions of queue messages that they write and read.

Each zip has its function's own packages plus its own locked requirements, and nothing of the other function. The same
inputs give the same bytes: names are sorted, times and modes are fixed. Serverless compares code by hash, so a deploy
that changes nothing publishes nothing.
"""

import argparse
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.stage import ROOT
from shared.message import READS, VERSION

HOST_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

# function -> the packages of this repository that it imports; its libraries are in requirements/<function>.txt.
FUNCTIONS = {
    "ingest": ("ingest_fn", "partners", "shared"),
    "worker": ("partners", "shared", "worker_fn"),
}

# Files that no function reads: type stubs, scripts, tests, a user interface of 2 MB in Powertools, partners' logos.
DROPPED_PARTS = frozenset({"__pycache__", "bin", "tests"})
DROPPED_SUFFIXES = frozenset({".pyc", ".pyi", ".pyx", ".pxd", ".c", ".h", ".svg"})
DROPPED_NAMES = frozenset({".lock", "py.typed"})
DROPPED_PATHS = (
    "aws_lambda_powertools/event_handler/openapi/swagger_ui/",
    # zstandard's second backend, 11 MB: it needs cffi, which no zip carries, and CPython takes the first.
    "zstandard/_cffi.",
    "zstandard/backend_cffi.py",
)
# The files of a library's metadata that are kept: METADATA has its name and version, for importlib.metadata and for
# scanners that look for known vulnerabilities; entry_points.txt is for libraries that look for plugins.
KEPT_METADATA = frozenset({"METADATA", "entry_points.txt"})

# The files from which a deployed version is made: if only other files have changed, the commit is not noted as dirty.
DEPLOYED = (
    "ingest_fn",
    "worker_fn",
    "shared",
    "partners",
    "infra",
    "requirements",
    "serverless.yml",
    "package-lock.json",
)
COMMIT_DIGITS = 12

ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold."""
OWNER_ALONE = 0o700
"""Only its owner may enter: logs, keys of the embedded AWS and answers of a registration are beside the zips."""
ZIP_MODE = 0o100644 << 16
"""A regular file that everybody may read, because Lambda does not run as the owner."""


class BuildError(Exception):
    """A zip could not be built; the text says why and what to do."""


@dataclass(frozen=True)
class Target:
    """The Python and the platform that a zip runs on."""

    name: str
    python: str
    platform: str | None
    """uv's name of the platform; None for this machine."""


TARGETS = {
    # Lambda's python3.13 is Amazon Linux 2023 (glibc 2.34).
    "aws": Target("aws", "3.13", "aarch64-manylinux_2_28"),
    "local": Target("local", HOST_PYTHON, None),
}


@dataclass(frozen=True)
class Built:
    """A finished zip."""

    path: Path
    bytecode: bool
    fresh: bool
    """False if the zip on disk was up to date."""
    zip_bytes: int
    unzipped_bytes: int


def build(target: Target, function: str, output: Path) -> Built:
    """Build one zip below `output`, or leave it if none of its inputs has changed. Raises BuildError."""
    path = output / target.name / f"{function}.zip"
    stamp = path.with_suffix(".json")
    requirements = ROOT / "requirements" / f"{function}.txt"
    if not requirements.is_file():
        raise BuildError(f"{requirements.relative_to(ROOT)} is missing: make lock writes it")
    compiler = interpreter(target.python)
    inputs = digest(target, function, requirements, compiler)
    if (known := read_stamp(stamp)) and known["inputs"] == inputs and path.is_file():
        return Built(path, compiler is not None, False, path.stat().st_size, known["unzipped_bytes"])

    path.parent.mkdir(parents=True, exist_ok=True)
    packages = install(target, requirements, output / ".packages")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{function}-") as folder:
        tree = Path(folder, "tree")
        shutil.copytree(packages, tree)
        for package in FUNCTIONS[function]:
            shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
        prune(tree)
        if compiler:
            compile_tree(tree, compiler)
        draft = Path(folder, path.name)
        unzipped = write_zip(tree, draft)
        draft.replace(path)
    stamp.write_text(json.dumps({"inputs": inputs, "unzipped_bytes": unzipped}))
    return Built(path, compiler is not None, True, path.stat().st_size, unzipped)


def write_release(target: Target, output: Path, root: Path = ROOT) -> Path:
    """Write release.json: infra/zips.cjs notes it on the functions, where `spillway versions` and `promote` read it."""
    path = output / target.name / "release.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    noted = {
        "commit": commit(root),
        "writes_messages": str(VERSION),
        "reads_messages": ",".join(map(str, READS)),
    }
    draft = path.with_suffix(f".{os.getpid()}")  # another build may write it meanwhile, and a deploy read it
    draft.write_text(json.dumps(noted, indent=2) + "\n")
    draft.replace(path)
    return path


def commit(root: Path) -> str:
    """Name the commit of a checkout: `4f2a9c1b03de`, or `4f2a9c1b03de-dirty` if a file that is deployed was changed
    since, or `unknown` if there is no repository.
    """
    if git(root, "rev-parse", "--show-toplevel") != str(root.resolve()):
        return "unknown"
    head = git(root, "rev-parse", f"--short={COMMIT_DIGITS}", "HEAD")
    if not head:
        return "unknown"
    return f"{head}-dirty" if git(root, "status", "--porcelain", "--", *DEPLOYED) != "" else head


def git(root: Path, *arguments: str) -> str | None:
    """Run git in a folder; None if git is not installed or fails."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def digest(target: Target, function: str, requirements: Path, compiler: str | None) -> str:
    """A digest of a zip's inputs: sources, locked requirements, target, compiler, and this file."""
    seen = hashlib.sha256(repr((target, function, compiler)).encode())
    sources = [file for package in FUNCTIONS[function] for file in source_files(ROOT / package)]
    for file in [Path(__file__), requirements, *sources]:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        seen.update(f"{file.relative_to(ROOT).as_posix()}\0{content}\n".encode())
    return seen.hexdigest()


def read_stamp(stamp: Path) -> dict[str, Any] | None:
    """Read the last build's note; None if there was no build, or one that was cut short."""
    try:
        noted = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return None
    return noted if isinstance(noted, dict) else None


def source_files(folder: Path) -> Iterator[Path]:
    """Yield the files of one of this repository's packages in a fixed order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def install(target: Target, requirements: Path, cache: Path) -> Path:
    """Install locked requirements, hashes checked, once per lock and target; later builds work without a network."""
    key = hashlib.sha256(requirements.read_bytes() + repr(target).encode()).hexdigest()[:16]
    folder = cache / f"{target.name}-{requirements.stem}-{key}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    for outdated in cache.glob(f"{target.name}-{requirements.stem}-*"):
        shutil.rmtree(outdated, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".install-") as draft:
        where = ["--python-version", target.python, "--python-platform", target.platform] if target.platform else []
        run_uv(
            "pip", "install", "--quiet", "--python", sys.executable, "--target", f"{draft}/packages", *where,
            "--link-mode", "copy", "--only-binary", ":all:", "--no-deps", "--require-hashes", "-r", str(requirements),
        )  # fmt: skip
        Path(draft, "packages").replace(folder)
    return folder


@functools.cache
def interpreter(version: str) -> str | None:
    """Find an interpreter that can compile for `version`; None if this machine has none (none is downloaded)."""
    if version == HOST_PYTHON:
        return sys.executable
    try:
        found = run_uv("python", "find", "--no-python-downloads", "--no-project", "--system", version)
    except BuildError:
        return None
    return found.strip() or None


def prune(tree: Path) -> None:
    """Remove the files that no function reads."""
    for path in [path for path in tree.rglob("*") if path.is_file()]:
        name = path.relative_to(tree)
        metadata = name.parts[0].endswith(".dist-info")
        if (
            DROPPED_PARTS.intersection(name.parts[:-1])
            or path.suffix in DROPPED_SUFFIXES
            or path.name in DROPPED_NAMES
            or name.as_posix().startswith(DROPPED_PATHS)
            or (metadata and (path.name not in KEPT_METADATA or len(name.parts) > 2))
        ):
            path.unlink()


def compile_tree(tree: Path, compiler: str) -> None:
    """Compile every module: otherwise each cold start would compile them, because a function's folder is read-only.

    The bytecode is marked as never to be checked against its sources, so it contains no time stamp; the paths that
    tracebacks show are those of the deployed function.
    """
    done = subprocess.run(
        [compiler, "-I", "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash",
         "-s", str(tree), "-p", "/var/task", str(tree)],
        env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise BuildError(f"{compiler} could not compile the code:\n{done.stdout}{done.stderr}")


def write_zip(tree: Path, path: Path) -> int:
    """Zip every file of a folder; returns the sum of their sizes."""
    size = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in sorted(file for file in tree.rglob("*") if file.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(tree).as_posix(), ZIP_TIME)
            entry.external_attr = ZIP_MODE
            entry.compress_type = zipfile.ZIP_DEFLATED
            content = file.read_bytes()
            archive.writestr(entry, content)
            size += len(content)
    return size


def run_uv(*arguments: str) -> str:
    """Run the environment's uv; returns its output. Raises BuildError with uv's own message."""
    command = [sys.executable, "-m", "uv", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode != 0:
        raise BuildError(f"uv {arguments[0]} {arguments[1]} failed:\n{done.stderr.strip()}")
    return done.stdout


def describe(built: Built, target: Target) -> str:
    """Say what was built in one line."""
    bytecode = f"bytecode {target.python}" if built.bytecode else f"no bytecode (no Python {target.python} here)"
    sizes = f"{built.zip_bytes / 1e6:5.2f} MB zipped  {built.unzipped_bytes / 1e6:5.2f} MB unzipped"
    shown = built.path.relative_to(ROOT) if built.path.is_relative_to(ROOT) else built.path
    return f"{shown!s:24}  {sizes}  {bytecode}{'' if built.fresh else '  (unchanged)'}"


def main(arguments: list[str] | None = None) -> int:
    """Build what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.build", description="Build the functions' zips.")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="aws, local; without one: both")
    parser.add_argument("--output", type=Path, default=ROOT / "build", help="folder for the zips")
    options = parser.parse_args(arguments)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        options.output.chmod(OWNER_ALONE)
        for name in options.targets or TARGETS:
            for function in FUNCTIONS:
                print(describe(build(TARGETS[name], function, options.output), TARGETS[name]))
            write_release(TARGETS[name], options.output)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("The build was stopped: the same command builds what is missing.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
