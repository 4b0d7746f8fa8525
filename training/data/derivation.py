"""A dataset made from another: which of its records go, for what reasons, and which are new."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from pydantic import Field

from training.config import Frozen, TrainOn
from training.data.doctor.checks import Code, Strategy

__all__ = [
    "MAX_RANGES",
    "AddedDataset",
    "Cause",
    "Changes",
    "ExaminedTokens",
    "LineRange",
    "Removal",
    "RemovalPlan",
    "changes",
    "covered",
    "marked",
]

MAX_RANGES: Final = 1000
"""Of removed lines, so many ranges are written down; comparing the two datasets tells all."""


class LineRange(NamedTuple):
    """Lines from `first` to `last`, counted from 1, both included."""

    first: int
    last: int


class ExaminedTokens(Frozen):
    """The look at a dataset's rows of tokens by which records go, as it was then."""

    key: str
    """The service's name for it."""
    model: str
    """Whose tokens, by its name."""
    chat_template: str | None
    """Its own, where None."""
    train_on: TrainOn
    max_sequence_length: int


class RemovalPlan(Frozen):
    """Which of a dataset's records are to go: each for the first of these that it meets."""

    lines: tuple[LineRange, ...] = ()
    strategies: dict[Code, Strategy] = Field(default_factory=dict)
    """By what was found of the others; what was found of no record is no mistake."""
    tokens: ExaminedTokens | None = None
    """Where strategies are about what was found in rows of tokens, who found it."""
    duplicates: bool = False
    """Those that are equal to an earlier one which stays."""


class Cause(StrEnum):
    """Why records went."""

    LINES = "LINES"
    """Their lines were named."""
    FINDING = "FINDING"
    """The doctor had found them so."""
    DUPLICATE = "DUPLICATE"
    """They were equal to an earlier one that stayed."""


class Removal(Frozen):
    """Records that went for one reason."""

    cause: Cause
    finding: Code | None = None
    """What was found of them, where that is the cause."""
    count: int
    lines: tuple[int, ...]
    """The first of them in the parent, from 1."""


class AddedDataset(Frozen):
    """The dataset whose records were added, as it was then."""

    name: str
    sha256: str


class Changes(Frozen):
    """What a derivation did."""

    added: int
    """The child's last so many records are new."""
    added_dataset: AddedDataset | None = None
    """Whose records those are, where they are another dataset's."""
    examined_tokens: ExaminedTokens | None = None
    """By which records went, where they went for what was found in their tokens."""
    removed: int
    removals: tuple[Removal, ...] = ()
    """Together all that were removed, each once; none where that was before reasons were kept."""
    removed_lines: tuple[LineRange, ...]
    """Lines of the parent that the child lacks, in order: the first `MAX_RANGES` of them."""
    removed_lines_complete: bool


def marked(record_count: int, ranges: Iterable[LineRange]) -> bytearray:
    """A mark for each line of a file, by its number, that is 1 where a range has it."""
    gone = bytearray(record_count + 1)
    for first, last in _apart(ranges):
        gone[first : last + 1] = b"\1" * (last + 1 - first)
    return gone


def covered(ranges: Iterable[LineRange]) -> int:
    """How many lines the ranges have, each counted once."""
    return sum(last + 1 - first for first, last in _apart(ranges))


def _apart(ranges: Iterable[LineRange]) -> Iterator[LineRange]:
    """The same lines in order, each in one range, however often it is named."""
    done = 0
    for first, last in sorted(ranges):
        if last > done:
            yield LineRange(max(first, done + 1), last)
            done = last


def changes(
    gone: bytearray,
    removals: tuple[Removal, ...],
    added: int,
    added_dataset: AddedDataset | None = None,
    *,
    examined_tokens: ExaminedTokens | None = None,
) -> Changes:
    """What it is to remove the marked records for these reasons, and to add so many."""
    ranges = _ranges(gone)
    first = tuple(each for each, _ in zip(ranges, range(MAX_RANGES), strict=False))
    return Changes(
        added=added,
        added_dataset=added_dataset,
        examined_tokens=examined_tokens,
        removed=gone.count(1),
        removals=removals,
        removed_lines=first,
        removed_lines_complete=not first or gone.find(1, first[-1].last + 1) == -1,
    )


def _ranges(gone: bytearray) -> Iterator[LineRange]:
    start = gone.find(1)
    while start != -1:
        end = gone.find(0, start)
        yield LineRange(start, (len(gone) if end == -1 else end) - 1)
        start = -1 if end == -1 else gone.find(1, end)
