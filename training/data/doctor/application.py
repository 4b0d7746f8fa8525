"""Strategies applied to every record of a dataset, by its marks."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.doctor.checks import Code
from training.data.doctor.marks import Marks, codes_of, patterns
from training.data.doctor.strategies import Outcome, Strategies, foretell, is_cut, reason

__all__ = ["Applied", "apply"]


class Applied(NamedTuple):
    """What became of every record. Lines ascend."""

    outcome: Outcome
    kept: NDArray[np.uint32]
    """The lines that are trained on, those of `truncated` too."""
    truncated: NDArray[np.uint32]
    dropped: dict[Code, NDArray[np.uint32]]
    """The lines that are left out, by the reason for which they are, in the order of the table."""


def apply(marks: Marks, strategies: Strategies) -> Applied:
    """Sort the records by the strategies chosen. Raises `StrategyNotOffered`."""
    outcome = foretell(patterns(marks), strategies)
    is_kept = np.zeros(len(marks.lines), np.bool_)
    is_truncated = np.zeros(len(marks.lines), np.bool_)
    is_dropped = {code: np.zeros(len(marks.lines), np.bool_) for code in outcome.dropped.reasons}
    for bits in np.unique(marks.bits):
        codes = codes_of(int(bits))
        those = marks.bits == bits
        why = reason(codes, strategies)
        if why is None:
            is_kept |= those
            is_truncated |= those & is_cut(codes, strategies)
        else:
            is_dropped[why] |= those
    return Applied(
        outcome,
        marks.lines[is_kept],
        marks.lines[is_truncated],
        {code: marks.lines[those] for code, those in is_dropped.items()},
    )
