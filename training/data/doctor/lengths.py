"""Lengths as figures: percentiles, a histogram, and those far from all others."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.doctor.report import Bin
from training.data.records import PERCENTILES

__all__ = ["far_apart", "histogram", "percentiles"]

Lengths = NDArray[np.uint32]

_POWERS: Final = (1 << np.arange(32, dtype=np.uint64)).astype(np.uint32)

_FENCE: Final = 3.0
"""Interquartile ranges beyond the quartiles, as Tukey puts the outer fence."""
_MIN_SPREAD: Final = math.log(1.5)
"""The least interquartile range that is assumed: lengths that are all alike are no outliers."""
_MIN_RECORDS: Final = 100
"""Fewer have no usual length."""


def percentiles(lengths: Lengths) -> tuple[tuple[int, int], ...]:
    """(percentile, length) by nearest rank; empty where there are none."""
    if not len(lengths):
        return ()
    ordered = np.sort(lengths)
    ranks = [max(0, math.ceil(each / 100 * len(ordered)) - 1) for each in PERCENTILES]
    return tuple(zip(PERCENTILES, ordered[ranks].tolist(), strict=True))


def histogram(lengths: Lengths) -> tuple[Bin, ...]:
    """How many lengths lie between one power of two and the next, without the empty ends."""
    if not len(lengths):
        return ()
    counts = np.bincount(np.searchsorted(_POWERS, lengths, side="right"))
    start = int(np.flatnonzero(counts)[0])
    return tuple(
        Bin(
            from_length=(1 << power) >> 1,
            to_length=max(0, (1 << power) - 1),
            count=int(counts[power]),
        )
        for power in range(start, len(counts))
    )


def far_apart(lengths: Lengths) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which are far shorter and which far longer than nearly all: the outer fences of their logarithms."""
    if len(lengths) < _MIN_RECORDS:
        nothing = np.zeros(len(lengths), np.bool_)
        return nothing, nothing
    lower, upper = (float(each) for each in np.log(np.percentile(lengths, (25, 75)) + 1))
    reach = _FENCE * max(upper - lower, _MIN_SPREAD)
    return lengths + 1 < math.exp(lower - reach), lengths + 1 > math.exp(upper + reach)
