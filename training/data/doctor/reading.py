"""The records of a dataset read once, while it is told how far that is."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from training.data.records import Record

__all__ = ["numbered_records"]


def numbered_records(path: Path, *, came: Callable[[float], None]) -> Iterator[tuple[int, Record]]:
    """The canonical records of a file by their lines; `came` is told with each what share of the file
    is read, 0 to 1."""
    size = path.stat().st_size
    position = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            position += len(line)
            came(position / size)
            yield number, json.loads(line)
