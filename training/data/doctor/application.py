"""Strategies applied to every record of a dataset, by its marks."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.doctor.marks import Marks, codes_of, patterns
from training.data.doctor.strategies import Outcome, Strategies, foretell, is_cut, reason

__all__ = ["Applied", "apply"]


class Applied(NamedTuple):
    """What became of every record. Lines ascend."""

    outcome: Outcome
    kept: NDArray[np.uint32]
    """The lines that are trained on, those of `truncated` too."""
    truncated: NDArray[np.uint32]


def apply(marks: Marks, strategies: Strategies) -> Applied:
    """Sort the records by the strategies chosen. Raises `StrategyNotOffered`."""
    outcome = foretell(patterns(marks), strategies)
    is_kept = np.zeros(len(marks.lines), np.bool_)
    is_truncated = np.zeros(len(marks.lines), np.bool_)
    for bits in np.unique(marks.bits):
        codes = codes_of(int(bits))
        if reason(codes, strategies) is None:
            those = marks.bits == bits
            is_kept |= those
            is_truncated |= those & is_cut(codes, strategies)
    return Applied(outcome, marks.lines[is_kept], marks.lines[is_truncated])
