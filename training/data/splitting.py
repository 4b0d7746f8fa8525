"""Which records are trained on and which are held out, as indices: all a function of the seed.

Records are known by digests of their content, equal for exact duplicates, which stay together on
one side. A million records take some tens of megabytes while they are split.
"""

import random
from array import array
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Digests",
    "Indices",
    "Sides",
    "all_of",
    "apart",
    "as_digests",
    "drawn_by_label",
    "split",
]

_DIGEST_BYTES: Final = 16
"""Of a content's digest, enough that no two contents share them."""

Indices = NDArray[np.int64]
Digests = NDArray[np.bytes_] | NDArray[np.void]
"""A digest for each record; all have the same number of bytes."""


class Sides(NamedTuple):
    """The indices of the records trained on and of those held out, each in ascending order."""

    training: Indices
    validation: Indices


def as_digests(contents: Iterable[bytes], count: int) -> Digests:
    """The digests of `count` records as an array, cut to what tells contents apart."""
    heads = (content[:_DIGEST_BYTES] for content in contents)
    return np.fromiter(heads, dtype=f"S{_DIGEST_BYTES}", count=count)


def split(
    contents: Digests, wanted: int, seed: int, *, labels: Sequence[int] | None = None
) -> Sides:
    """Hold out `wanted` of the records; exact duplicates stay together on one side.

    With `labels`, a number from 0 for each record, those held out bear each label in the share
    that it has of all, as exactly as whole records allow, and some of each are trained on. Fewer
    are held out than asked for where groups of duplicates are too large.
    """
    groups = _grouped(contents)
    if labels is None:
        chosen = _chosen(groups, all_of(len(groups.sizes)), wanted, f"split:{seed}")
    else:
        chosen = _chosen_by_label(groups, np.asarray(labels, dtype=np.int64), wanted, seed)
    held_out = np.zeros(len(groups.sizes), dtype=np.bool_)
    held_out[chosen] = True
    of_record = held_out[groups.of_record]
    return Sides(np.flatnonzero(~of_record), np.flatnonzero(of_record))


def all_of(count: int) -> Indices:
    """The indices of all of `count` records."""
    return np.arange(count)


def apart(contents: Digests, others: Digests) -> tuple[Indices, Indices]:
    """The indices of the contents that are not among the others, and of those that are."""
    among = np.isin(contents, others)
    return np.flatnonzero(~among), np.flatnonzero(among)


def drawn_by_label(labels: Sequence[int], wanted: int, *, shuffle: bool, seed: int) -> Indices:
    """`wanted` of the records, in order, that bear each label in the share that it has of all, as
    exactly as whole records allow: the first that bear it, or with `shuffle` any."""
    of_record = np.asarray(labels, dtype=np.int64)
    drawn = []
    for label, share in enumerate(_shares(np.bincount(of_record).tolist(), wanted)):
        among = np.flatnonzero(of_record == label)
        if shuffle:
            draw = random.Random(f"sample:{seed}:{label}")  # noqa: S311 - a seeded draw, no secret
            among = among[draw.sample(range(len(among)), share)]
        drawn.append(among[:share])
    return np.sort(np.concatenate(drawn))


class _Groups(NamedTuple):
    """Records of equal content together, numbered in the order of their first records."""

    of_record: Indices
    """The group of each record."""
    first: Indices
    """The first record of each group."""
    sizes: Indices


def _grouped(contents: Digests) -> _Groups:
    _, first, inverse, sizes = np.unique(
        contents, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first, kind="stable")
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return _Groups(number[inverse], first[order], sizes[order])


def _chosen(groups: _Groups, among: Indices, wanted: int, seed: str) -> list[int]:
    """Groups, drawn from some of them, whose records are `wanted` together or as many as fit."""
    order = array("q", among.tobytes())
    random.Random(seed).shuffle(order)  # noqa: S311 - a seeded order, no secret
    chosen: list[int] = []
    for group, size in zip(order, groups.sizes[order].tolist(), strict=True):
        if size <= wanted:
            chosen.append(group)
            wanted -= size
        if not wanted:
            break
    return chosen


def _chosen_by_label(groups: _Groups, labels: Indices, wanted: int, seed: int) -> list[int]:
    records = np.bincount(labels).tolist()
    chosen: list[int] = []
    of_group = labels[groups.first]
    for label, share in enumerate(_shares(records, wanted)):
        among = np.flatnonzero(of_group == label)
        most = min(share, max(0, records[label] - 1))  # never all that a label has
        chosen += _chosen(groups, among, most, f"split:{seed}:{label}")
    return chosen


def _shares(records: Sequence[int], wanted: int) -> list[int]:
    """How many of `wanted` records each label gives: by its share, what is left over by the largest
    remainders, of which the first of equals."""
    total = sum(records)
    shares = [wanted * count // total for count in records]
    remainders = [wanted * count % total for count in records]
    by_remainder = sorted(range(len(records)), key=lambda label: -remainders[label])
    for label in by_remainder[: wanted - sum(shares)]:
        shares[label] += 1
    return shares
