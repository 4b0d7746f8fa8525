"""Rows of several files, one after the other, as of one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from training.data.containers.limits import Limits
from training.data.containers.reading import Contents, open_contents
from training.data.containers.rows import Places, RawRow, Rows, refused
from training.data.fields import shortened
from training.errors import SourceUnreadable

__all__ = ["open_shards"]


def open_shards(
    files: Sequence[tuple[str, Path]],
    limits: Limits | None = None,
    *,
    opening: Callable[[Path], BinaryIO] = lambda path: path.open("rb"),
) -> Contents:
    """The rows of named files of one kind, with lines numbered through; `places` tells a line's file.

    A file that cannot be read at all costs itself. `SourceUnreadable` where that is the first. Each is
    opened by `opening`, one at a time.
    """
    limits = limits or Limits()
    name, path = files[0]
    with path.open("rb") as first:
        container = open_contents(first, limits, name=name).container
    places = Places()
    return Contents(container, _rows(files, limits, places, opening), places)


def _rows(
    files: Sequence[tuple[str, Path]],
    limits: Limits,
    places: Places,
    opening: Callable[[Path], BinaryIO],
) -> Rows:
    last = 0
    for name, path in files:
        before = last
        places.begin(shortened(name), before + 1)
        with opening(path) as file:
            try:
                for row in open_contents(file, limits, name=name).rows:
                    last = before + row.line
                    if isinstance(row, RawRow):
                        yield row._replace(line=last)
                    else:
                        yield places.named(row.model_copy(update={"line": last}))
            except SourceUnreadable as error:
                if not before:
                    raise
                last += 1
                yield places.named(refused(last, error.code, error.message))
