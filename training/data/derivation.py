"""A dataset made from another: which of its records go, and which are new."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from training.config import Frozen
from training.data.records import Record

__all__ = ["MAX_RANGES", "Changes", "LineRange", "changes", "kept", "marked"]

MAX_RANGES: Final = 1000
"""Of removed lines, so many ranges are written down; comparing the two datasets tells all."""


class LineRange(NamedTuple):
    """Lines from `first` to `last`, counted from 1, both included."""

    first: int
    last: int


class Changes(Frozen):
    """What a derivation did."""

    added: int
    """The child's last so many records are new."""
    removed: int
    removed_lines: tuple[LineRange, ...]
    """Lines of the parent that the child lacks, in order: the first `MAX_RANGES` of them."""
    removed_lines_complete: bool


def marked(record_count: int, ranges: Iterable[LineRange]) -> bytearray:
    """A mark for each line of a file, by its number, that is 1 where a range has it."""
    gone = bytearray(record_count + 1)
    done = 0
    for first, last in sorted(ranges):  # each line is marked once, however often it is named
        start = max(first, done + 1)
        gone[start : last + 1] = b"\1" * max(0, last + 1 - start)
        done = max(done, last)
    return gone


def kept(records: Path, gone: bytearray) -> Iterator[tuple[int, Record]]:
    """The records of a canonical file that are not marked, with their lines, one at a time."""
    with records.open("rb") as file:
        for line, content in enumerate(file, 1):
            if not gone[line]:
                yield line, json.loads(content)


def changes(gone: bytearray, added: int) -> Changes:
    """What it is to remove the marked records and to add so many."""
    ranges = _ranges(gone)
    first = tuple(each for each, _ in zip(ranges, range(MAX_RANGES), strict=False))
    return Changes(
        added=added,
        removed=gone.count(1),
        removed_lines=first,
        removed_lines_complete=not first or gone.find(1, first[-1].last + 1) == -1,
    )


def _ranges(gone: bytearray) -> Iterator[LineRange]:
    start = gone.find(1)
    while start != -1:
        end = gone.find(0, start)
        yield LineRange(start, (len(gone) if end == -1 else end) - 1)
        start = -1 if end == -1 else gone.find(1, end)
