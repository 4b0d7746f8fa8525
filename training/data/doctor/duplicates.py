"""Records that are equal, and how groups of them are told."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.doctor.report import MAX_GROUPS, MAX_LINES, Duplicates, Group

__all__ = ["conflicting", "duplicates", "first_equal"]

First = NDArray[np.int32]
"""For each record the index of the first of its group: half the size, for there may be millions."""


def first_equal(*keys: NDArray[np.uint64]) -> First:
    """For each record the index of the first that is equal to it in all keys."""
    first = np.arange(len(keys[0]), dtype=np.int32)
    several = _repeated(keys[0])  # mostly few: sorting by all keys is left to those
    first[several] = several[_first_places([key[several] for key in keys])]
    return first


def conflicting(prompts: NDArray[np.uint64], first: First) -> First:
    """The records that answer the prompt of an earlier one otherwise; `first` as `first_equal`."""
    several = _repeated(prompts)
    asked = several[(first[several] == several) & (prompts[several] != 0)]
    again: First = asked[_first_places([prompts[asked]]) != np.arange(len(asked))]
    return again


def _first_places(keys: Sequence[NDArray[np.uint64]]) -> First:
    """For each place the first with the same keys."""
    order = np.lexsort(keys)
    starts = np.zeros(len(order), np.bool_)
    starts[:1] = True
    for key in keys:
        ordered = key[order]
        starts[1:] |= ordered[1:] != ordered[:-1]
    first = np.empty(len(order), np.int32)
    first[order] = order[starts][np.cumsum(starts, dtype=np.int32) - 1]
    return first


def _repeated(keys: NDArray[np.uint64]) -> First:
    """The indices of the keys that occur more than once, ascending."""
    ordered = np.sort(keys)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(twice):
        return np.empty(0, np.int32)
    del ordered
    place = np.searchsorted(twice, keys)
    place[place == len(twice)] = 0
    return np.flatnonzero(twice[place] == keys).astype(np.int32)


def duplicates(first: First, lines: NDArray[np.uint32]) -> Duplicates:
    """The groups of those that have the same first one."""
    counts = np.bincount(first)
    heads = np.flatnonzero(counts > 1)
    counts = counts[heads]
    largest = np.argsort(-counts, kind="stable")[:MAX_GROUPS]
    return Duplicates(
        groups=len(heads),
        records=int(counts.sum()) - len(heads),
        largest=tuple(
            Group(count=int(counts[each]), lines=_lines(first, lines, int(heads[each])))
            for each in largest
        ),
    )


def _lines(first: First, lines: NDArray[np.uint32], head: int) -> Sequence[int]:
    return tuple(lines[np.flatnonzero(first == head)[:MAX_LINES]].tolist())
