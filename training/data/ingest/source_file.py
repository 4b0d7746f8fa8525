"""A file that counts what is read of it."""

import os
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple

from training.data.containers.reading import Container, open_contents
from training.data.containers.rows import Rows
from training.data.containers.source import Compression, compression_of

__all__ = ["Opened", "SourceFile", "opened"]

_HEAD_BYTES: Final = 4


class SourceFile(FileIO):
    """A local file, and how much of it has been read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._read_bytes = 0
        self._size_bytes = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file, and counted."""
        content = super().read(-1 if size is None else size)
        self._read_bytes += len(content)
        return content

    @property
    def percent(self) -> float:
        """How much was read, of 100; a part that is read twice counts twice, up to all of it."""
        return min(100.0, 100 * self._read_bytes / max(1, self._size_bytes))


class Opened(NamedTuple):
    """What a file is, and its rows, which are read as they are asked for."""

    container: Container
    compression: Compression | None
    rows: Rows


def opened(file: SourceFile) -> Opened:
    """The rows of a file at its beginning. `SourceUnreadable` for one that is none of the known."""
    compression = compression_of(file.read(_HEAD_BYTES))
    file.seek(0)
    contents = open_contents(file)
    return Opened(contents.container, compression, contents.rows)
