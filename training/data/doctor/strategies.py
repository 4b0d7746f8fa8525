"""Which records a run keeps, once it is chosen what is done with those that something was found of."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.config import Frozen
from training.data.doctor.checks import CHECKS, Code, Strategy
from training.data.doctor.marks import Marks, having
from training.data.doctor.report import MAX_LINES
from training.errors import StrategyNotOffered

__all__ = ["Applied", "Dropped", "apply"]


class Dropped(Frozen):
    """The records that were left out. Each is counted once, for the first of its reasons."""

    count: int
    reasons: dict[Code, int]
    lines: tuple[int, ...]
    """The first of them."""


class Applied(NamedTuple):
    """What became of every record."""

    refused: dict[Code, int]
    """How many records have what the user said is an error; where there are any, nothing may run."""
    kept: NDArray[np.uint32]
    """The lines of the records that are trained on, ascending; those of `truncated` too."""
    truncated: NDArray[np.uint32]
    dropped: Dropped


def apply(marks: Marks, strategies: Mapping[Code, Strategy]) -> Applied:
    """Sort the records by the strategies chosen. Raises `StrategyNotOffered`."""
    for code, strategy in strategies.items():
        if strategy not in CHECKS[code].strategies:
            raise StrategyNotOffered(code, strategy, CHECKS[code].strategies)
    reasons: dict[Code, int] = {}
    is_dropped = np.zeros(len(marks.lines), np.bool_)
    for code in _chosen(strategies, Strategy.DROP):
        newly = having(marks, code) & ~is_dropped
        if newly.any():
            reasons[code] = int(newly.sum())
        is_dropped |= newly
    cut = np.zeros(len(marks.lines), np.bool_)
    for code in _chosen(strategies, Strategy.TRUNCATE):
        cut |= having(marks, code) & ~is_dropped
    refused = {code: int(having(marks, code).sum()) for code in _chosen(strategies, Strategy.ERROR)}
    return Applied(
        refused={code: count for code, count in refused.items() if count},
        kept=marks.lines[~is_dropped],
        truncated=marks.lines[cut],
        dropped=Dropped(
            count=int(is_dropped.sum()),
            reasons=reasons,
            lines=tuple(marks.lines[is_dropped][:MAX_LINES].tolist()),
        ),
    )


def _chosen(strategies: Mapping[Code, Strategy], strategy: Strategy) -> list[Code]:
    """In the order of the table, whatever that of the choice was."""
    return [code for code in Code if strategies.get(code) is strategy]
