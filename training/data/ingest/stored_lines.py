"""A file of lines that the service wrote itself, and how much of it has been read."""

from collections.abc import Iterator
from pathlib import Path

from training.data.ingest.errors import DatasetGone

__all__ = ["StoredLines"]


class StoredLines:
    """The lines of a file, from the beginning each time they are asked for. Raises `DatasetGone`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.read_bytes = 0
        """Of all readings."""
        try:
            self.size_bytes = path.stat().st_size
        except FileNotFoundError:
            raise DatasetGone from None

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            raise DatasetGone from None
        with file:
            for line, content in enumerate(file, 1):
                self.read_bytes += len(content)
                yield line, content
