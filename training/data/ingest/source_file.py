"""A file that counts what is read of it."""

import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple

from training.data.containers.reading import Container, open_contents
from training.data.containers.rows import Places, Rows
from training.data.containers.shards import open_shards
from training.data.containers.source import Compression, compression_of
from training.data.ingest.spec import FileSource
from training.errors import SourceUnreadable

__all__ = ["Opened", "SourceFile", "SourceFiles", "opened"]

_HEAD_BYTES: Final = 4


class SourceFile(FileIO):
    """A local file, and how much of it has been read. `SourceUnreadable` where there is none."""

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(path)
        except FileNotFoundError:
            raise SourceUnreadable(
                "UPLOAD_GONE", "it is not there any more", "Send the file again."
            ) from None
        self._read_bytes = 0
        self.size_bytes = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file, and counted."""
        content = super().read(-1 if size is None else size)
        self._read_bytes += len(content)
        return content

    @property
    def percent(self) -> float:
        """How much was read, of 100; a part that is read twice counts twice, up to all of it."""
        return min(100.0, 100 * self._read_bytes / max(1, self.size_bytes))


class SourceFiles:
    """Local files that are read one after the other, as of one."""

    def __init__(self, named: Sequence[tuple[str, Path]]) -> None:
        self._named = named
        self.size_bytes = sum(path.stat().st_size for _, path in named)
        self._whole_bytes = 0
        self._current: SourceFile | None = None

    def opened(self) -> "Opened":
        """Their rows. `SourceUnreadable` where the first file is none of the known."""
        with self._named[0][1].open("rb") as first:
            compression = compression_of(first.read(_HEAD_BYTES))
        contents = open_shards(self._named, opening=self._open)
        return Opened(contents.container, compression, contents.rows, contents.places)

    @property
    def percent(self) -> float:
        """How much was read, of 100."""
        under_way = self._current.percent * self._current.size_bytes if self._current else 0.0
        return min(100.0, (100 * self._whole_bytes + under_way) / max(1, self.size_bytes))

    def _open(self, path: Path) -> SourceFile:
        if self._current:
            self._whole_bytes += self._current.size_bytes
        self._current = SourceFile(path)
        return self._current


class Opened(NamedTuple):
    """What a file is, and its rows, which are read as they are asked for."""

    container: Container
    compression: Compression | None
    rows: Rows
    places: Places
    """Where rows lie that are numbered through several files."""


def opened(file: SourceFile, source: FileSource) -> Opened:
    """The rows of a file at its beginning. `SourceUnreadable` for one that is none of the known."""
    compression = compression_of(file.read(_HEAD_BYTES))
    file.seek(0)
    contents = open_contents(file, name=source.name, division=source.division)
    return Opened(contents.container, compression, contents.rows, contents.places)
