"""Records that are equal, and how groups of them are told."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.doctor.report import MAX_GROUPS, MAX_LINES, Duplicates, Group

__all__ = ["conflicting", "duplicates", "first_equal"]

Indices = NDArray[np.intp]


def first_equal(*keys: NDArray[np.uint64]) -> Indices:
    """For each record the index of the first that is equal to it in all keys."""
    order = np.lexsort(keys)
    starts = np.zeros(len(order), np.bool_)
    starts[:1] = True
    for key in keys:
        starts[1:] |= key[order[1:]] != key[order[:-1]]
    first = np.empty(len(order), np.intp)
    first[order] = order[np.flatnonzero(starts)][np.cumsum(starts) - 1]
    return first


def conflicting(prompts: NDArray[np.uint64], first: Indices) -> Indices:
    """The records that answer the prompt of an earlier one otherwise; `first` as `first_equal`."""
    distinct = np.flatnonzero(first == np.arange(len(first)))
    asked = distinct[prompts[distinct] != 0]
    earliest = first_equal(prompts[asked])
    return asked[earliest != np.arange(len(asked))]


def duplicates(first: Indices, lines: NDArray[np.uint32]) -> Duplicates:
    """The groups of those that have the same first one."""
    heads, counts = np.unique(first, return_counts=True)
    several = counts > 1
    heads, counts = heads[several], counts[several]
    largest = np.argsort(-counts, kind="stable")[:MAX_GROUPS]
    return Duplicates(
        groups=len(heads),
        records=int(counts.sum()) - len(heads),
        largest=tuple(
            Group(count=int(counts[each]), lines=_lines(first, lines, int(heads[each])))
            for each in largest
        ),
    )


def _lines(first: Indices, lines: NDArray[np.uint32], head: int) -> Sequence[int]:
    return tuple(lines[np.flatnonzero(first == head)[:MAX_LINES]].tolist())
