"""A folder of pictures: a folder a class, or all in one folder; possibly under train/, validation/ and test/; or a
single picture, to be predicted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from modelyard.core.errors import DataError
from modelyard.data.sources.base import Rows, Source
from modelyard.data.sources.files import digest_files, is_folder, name_of, walk
from modelyard.data.sources.rows import check_columns, in_chunks
from modelyard.data.sources.splits import split_of
from modelyard.spec.settings import Settings

__all__ = ["IMAGE_ENDINGS", "ImageFolder", "ImageSettings"]

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")


class ImageSettings(Settings):
    """Image folders leave nothing to set."""


class ImageFolder(Source):
    """The images under a folder, sorted by path: `image` (relative to `folder()`) and `label` (the class's folder).

    Images that stand in no class folder have no label; when none has, there is no column `label`. After `files()`,
    `skipped` lists what is hidden or no image. Nothing is opened but for the fingerprint.
    """

    Settings = ImageSettings
    name = "images"

    def __init__(self, location: Any, settings: ImageSettings, under: str = "") -> None:
        """Store.

        Args:
            location: The folder.
            settings: None there are.
            under: The folder inside it whose images count, such as `train`; all by default.
        """
        super().__init__(location, settings)
        self.under = under
        self.skipped: list[str] = []
        self._walked: list[str] | None = None
        self._found: tuple[list[str], list[str | None]] | None = None

    @classmethod
    def claims(cls, location: Any) -> bool:
        if not isinstance(location, str | os.PathLike):
            return False
        if _is_file(name_of(location)):
            return True
        if not is_folder(name_of(location)):
            return False
        return any(_is_image(path) for path in walk(name_of(location)))

    def folder(self) -> str:
        place = name_of(self.location)
        return os.path.dirname(place) or "." if _is_file(place) else place

    def files(self) -> list[str]:
        images, _ = self._images()
        return [os.path.join(self.folder(), image) for image in images]

    def schema(self) -> pa.Schema:
        _, labels = self._images()
        fields = [("image", pa.string()), ("label", pa.string())]
        return pa.schema(fields if any(label is not None for label in labels) else fields[:1])

    def read(self, columns: Sequence[str] | None = None, chunk: int = 65536) -> Iterator[Rows]:
        images, labels = self._images()
        wanted = check_columns(columns, self.schema().names, self.folder())
        cells: dict[str, Sequence[str | None]] = {"image": images, "label": labels}
        fields = [pa.field(name, pa.string()) for name in wanted]
        for start in range(0, len(images), chunk):
            arrays = [pa.array(cells[name][start : start + chunk], pa.string()) for name in wanted]
            yield from in_chunks(
                pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)), self.label(), start, chunk
            )

    def label(self) -> str:
        # Two parts of one folder count their images apart, so that a position alone would not tell them apart.
        return os.path.join(self.folder(), self.under) if self.under else self.folder()

    def place(self, file: str, positions: Sequence[int]) -> list[str]:
        images = self.files()
        return [images[position] for position in positions]

    def fingerprint(self) -> str:
        _, labels = self._images()
        return digest_files(self.files(), "\0".join(label or "" for label in labels).encode())

    def parts(self) -> dict[str, Source]:
        """Return a source for each of train/, validation/ and test/, when all images stand under such folders."""
        tops = Counter(path.partition("/")[0] if "/" in path else "" for path in self._paths() if _is_image(path))
        splits: dict[str, Source] = {}
        if self.under or not tops or any(split_of(top) is None for top in tops):
            return {}
        if all(split_of(top) != "train" for top in tops):
            return {}
        for top in sorted(tops):
            split = split_of(top) or ""
            if split in splits:
                raise DataError(
                    f"{self.folder()} holds more than one folder for {split} ({', '.join(sorted(tops))}); expected one"
                )
            splits[split] = part = ImageFolder(self.location, self.settings, under=top)
            part._walked = self._walked
        return splits

    def _paths(self) -> list[str]:
        if self._walked is None:
            place = name_of(self.location)
            self._walked = [os.path.basename(place)] if _is_file(place) else sorted(walk(place))
        return self._walked

    def _images(self) -> tuple[list[str], list[str | None]]:
        if self._found is None:
            root = self.folder()
            if not is_folder(root):
                raise DataError(f"{root} is not a folder; expected one that holds images")
            prefix = self.under + "/" if self.under else ""
            images: list[str] = []
            self.skipped = []
            for path in self._paths():
                if path.startswith(prefix):
                    (images if _is_image(path) else self.skipped).append(path)
            if not images:
                raise DataError(
                    f"no image under {os.path.join(root, self.under)} ({len(self.skipped)} other files); expected "
                    f"files ending in {', '.join(IMAGE_ENDINGS)}, a folder a class"
                )
            inside = [path[len(prefix) :].split("/") for path in images]
            self._found = images, [parts[0] if len(parts) > 1 else None for parts in inside]
        return self._found


def _is_file(place: str) -> bool:
    """Whether the location is a single picture rather than a folder of them."""
    return place.lower().endswith(IMAGE_ENDINGS) and os.path.isfile(place)


def _is_image(path: str) -> bool:
    """Whether the file is an image by its name: not hidden, nor in a hidden folder, nor beyond Unicode."""
    if not path.lower().endswith(IMAGE_ENDINGS) or any(part.startswith((".", "__MACOSX")) for part in path.split("/")):
        return False
    return path.isascii() or not any("\udc80" <= character <= "\udcff" for character in path)
