"""What a choice of strategies does to a dataset, told from its report alone."""

from collections.abc import Iterable, Mapping, Sequence
from heapq import merge
from itertools import islice

from training.config import Frozen
from training.data.doctor.checks import CHECKS, Code, Strategy
from training.data.doctor.errors import StrategyNotOffered
from training.data.doctor.report import MAX_LINES, Pattern

__all__ = ["Dropped", "Outcome", "Strategies", "foretell", "is_cut", "reason"]

Strategies = Mapping[Code, Strategy]


class Dropped(Frozen):
    """The records that are left out. Each is counted once, for the first of its reasons."""

    count: int
    reasons: dict[Code, int]
    lines: tuple[int, ...]
    """The first of them."""


class Outcome(Frozen):
    """What becomes of all records."""

    refused: dict[Code, int]
    """How many have what the user said is an error; where there are any, nothing may run."""
    kept: int
    """Those that are trained on, the truncated ones too."""
    truncated: int
    dropped: Dropped


def foretell(patterns: Iterable[Pattern], strategies: Strategies) -> Outcome:
    """Exactly what the strategies do to the records of a report. Raises `StrategyNotOffered`."""
    _check_offered(strategies)
    refused: dict[Code, int] = {}
    reasons: dict[Code, int] = {}
    kept = truncated = 0
    dropped: list[Pattern] = []
    for pattern in patterns:
        for code in _chosen(pattern.codes, strategies, Strategy.ERROR):
            refused[code] = refused.get(code, 0) + pattern.count
        why = reason(pattern.codes, strategies)
        if why is None:
            kept += pattern.count
            truncated += pattern.count if is_cut(pattern.codes, strategies) else 0
        else:
            reasons[why] = reasons.get(why, 0) + pattern.count
            dropped.append(pattern)
    return Outcome(
        refused=_in_order(refused),
        kept=kept,
        truncated=truncated,
        dropped=Dropped(
            count=sum(reasons.values()),
            reasons=_in_order(reasons),
            lines=tuple(islice(merge(*(pattern.lines for pattern in dropped)), MAX_LINES)),
        ),
    )


def reason(codes: Sequence[Code], strategies: Strategies) -> Code | None:
    """Why a record of which these were found is dropped, or None where it is kept."""
    return next(iter(_chosen(codes, strategies, Strategy.DROP)), None)


def is_cut(codes: Sequence[Code], strategies: Strategies) -> bool:
    """Whether a record of which these were found is truncated, if it is kept."""
    return bool(_chosen(codes, strategies, Strategy.TRUNCATE))


def _check_offered(strategies: Strategies) -> None:
    """Refuse a strategy that does not fit its finding."""
    for code, strategy in strategies.items():
        if strategy not in CHECKS[code].strategies:
            raise StrategyNotOffered(code, strategy, CHECKS[code].strategies)


def _chosen(codes: Sequence[Code], strategies: Strategies, strategy: Strategy) -> list[Code]:
    return [code for code in codes if strategies.get(code) is strategy]


def _in_order(counts: Mapping[Code, int]) -> dict[Code, int]:
    return {code: counts[code] for code in Code if code in counts}
