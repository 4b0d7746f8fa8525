"""Records that are nearly equal, found by their signatures without comparing all with all.

Near means: an estimated share of at least `NEAR` of the runs of five characters in common. The
64 bytes of a signature are 16 bands of four; records that have a band in common are compared, which
misses one in five thousand of those at the threshold, and fewer above it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.doctor.duplicates import First
from training.data.doctor.signatures import SIGNATURE_BYTES, Signatures

__all__ = ["NEAR", "near_groups", "nearest", "similarity"]

NEAR: Final = 0.8

_BY_CHANCE: Final = 1 / 256
"""How many bytes of two signatures that have nothing in common are equal."""
_AT_ONCE: Final = 1 << 16

Indices = NDArray[np.intp]
Places = Indices | NDArray[np.uint32]


def near_groups(signatures: Signatures, candidates: First) -> First:
    """For each record the first of those that are near it, directly or by others between them.

    Only `candidates`, indices in ascending order, are compared; any other is alone.
    """
    first = np.arange(len(signatures), dtype=np.int32)
    for band in _bands(signatures):
        keys, order = _ordered(band, candidates)
        same = (np.flatnonzero(keys[1:] == keys[:-1]) + 1).astype(np.int32)
        heads = _heads(same)
        for start in range(0, len(same), _AT_ONCE):
            later = same[start : start + _AT_ONCE]
            for earlier in (heads[start : start + _AT_ONCE], later - 1):
                _join_near(first, signatures, order[earlier], order[later])
    return first


def _join_near(
    first: First, signatures: Signatures, left: NDArray[np.uint32], right: NDArray[np.uint32]
) -> None:
    """Make one group of each pair that is near, where it is not one yet."""
    apart = first[left] != first[right]
    left, right = left[apart], right[apart]
    near = similarity(signatures, left, signatures, right) >= NEAR
    _join(first, left[near], right[near])


def _ordered(
    band: NDArray[np.uint32], candidates: First
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The keys of the candidates in order, and whose they are; sorted as one number each."""
    together = np.empty((len(candidates), 2), "<u4")
    together[:, 0] = candidates
    together[:, 1] = band[candidates]
    together.view("<u8")[:, 0].sort()
    return together[:, 1], together[:, 0]


def nearest(
    signatures: Signatures, others: Signatures
) -> tuple[Indices, Indices, NDArray[np.float64]]:
    """The indices of those that are near one of the `others`, which that is, and how near it is."""
    best = np.zeros(len(signatures))
    partner = np.zeros(len(signatures), np.intp)
    if len(others):
        ours, theirs = (np.arange(len(each), dtype=np.int32) for each in (signatures, others))
        for band, other_band in zip(_bands(signatures), _bands(others), strict=True):
            keys, whose = _ordered(band, ours)
            ordered, order = _ordered(other_band, theirs)
            for side, back in (("left", 0), ("right", 1)):  # the first and the last of equal keys
                place = np.searchsorted(ordered, keys, side=side) - back  # type: ignore[call-overload]
                place = np.clip(place, 0, len(order) - 1)
                same = np.flatnonzero(ordered[place] == keys)
                here, there = whose[same], order[place[same]]
                found = similarity(signatures, here, others, there)
                better = found > best[here]
                best[here[better]] = found[better]
                partner[here[better]] = there[better]
    near = np.flatnonzero(best >= NEAR)
    return near, partner[near], best[near]


def similarity(
    left: Signatures, at: Places, right: Signatures, other: Places
) -> NDArray[np.float64]:
    """The estimated shares in common of `left[at]` and `right[other]`, pair by pair."""
    estimates = np.empty(len(at))
    for start in range(0, len(at), _AT_ONCE):
        pairs = slice(start, start + _AT_ONCE)
        equal = np.count_nonzero(left[at[pairs]] == right[other[pairs]], axis=1)
        estimates[pairs] = equal / SIGNATURE_BYTES
    return np.clip((estimates - _BY_CHANCE) / (1 - _BY_CHANCE), 0, 1)


def _bands(signatures: Signatures) -> list[NDArray[np.uint32]]:
    """Each four bytes of the signatures as one number."""
    return list(signatures.view(np.uint32).T)


def _heads(same: First) -> First:
    """The first place with the same key, for each place whose key is that of the place before it."""
    starts = np.flatnonzero(np.diff(same, prepend=np.int32(-1)) != 1)
    lengths = np.diff(starts, append=len(same))
    return np.repeat(same[starts] - 1, lengths)


def _join(first: First, left: NDArray[np.uint32], right: NDArray[np.uint32]) -> None:
    """Make one group of those that each pair is in, named by its first."""
    while len(left):
        lower = np.minimum(first[left], first[right])
        np.minimum.at(first, first[left], lower)
        np.minimum.at(first, first[right], lower)
        while not np.array_equal(first, jumped := first[first]):
            first[:] = jumped
        apart = first[left] != first[right]
        left, right = left[apart], right[apart]
