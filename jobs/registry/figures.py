"""The figures of an evaluation by their names, and bounds on them."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from pydantic import Field, ValidationInfo, field_validator, model_validator

from training.config import Frozen
from training.evaluation.labels import LabelFigures
from training.evaluation.spec import AnswerFigures, EvaluationResult, Figures

__all__ = ["LESS_IS_BETTER", "OF_ANSWERS", "OVER_TOKENS", "Figure", "FigureBound", "measured"]


class Figure(StrEnum):
    """What an evaluation measures of a version; docs/evaluation.md has the definitions."""

    LOSS = "LOSS"
    PERPLEXITY = "PERPLEXITY"
    TOKEN_ACCURACY = "TOKEN_ACCURACY"  # noqa: S105 - no password
    EXACT_MATCH = "EXACT_MATCH"
    PRECISION = "PRECISION"
    RECALL = "RECALL"
    F1 = "F1"
    LABEL_ACCURACY = "LABEL_ACCURACY"
    MACRO_PRECISION = "MACRO_PRECISION"
    MACRO_RECALL = "MACRO_RECALL"
    MACRO_F1 = "MACRO_F1"
    CALIBRATION_ERROR = "CALIBRATION_ERROR"


LESS_IS_BETTER: Final = frozenset({Figure.LOSS, Figure.PERPLEXITY, Figure.CALIBRATION_ERROR})
_UNLIMITED: Final = frozenset({Figure.LOSS, Figure.PERPLEXITY})


class FigureBound(Frozen):
    """What a version's figure must be; at least one of both is given."""

    figure: Figure
    bound: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """The least that it must be, or the most of one of which less is better."""
    not_worse: bool = False
    """Whether it must be as good as that of the version in production."""

    @field_validator("bound")
    @classmethod
    def _can_be(cls, bound: float | None, info: ValidationInfo) -> float | None:
        figure = info.data.get("figure")
        if bound is not None and bound > 1 and figure not in _UNLIMITED:
            raise ValueError(f"{figure} is 0 to 1")
        return bound

    @model_validator(mode="after")
    def _asks_something(self) -> "FigureBound":
        if self.bound is None and not self.not_worse:
            raise ValueError("it has no bound, and need not be as good as another")
        return self


def measured(figure: Figure, found: EvaluationResult) -> float | None:
    """That figure of the version; None where it was not measured."""
    tuned = found.tuned
    if figure in _TOKENS:
        return _TOKENS[figure](tuned)
    if figure in _ANSWERS:
        return None if tuned.answers is None else _ANSWERS[figure](tuned.answers)
    return None if tuned.labels is None else _LABELS[figure](tuned.labels)


_TOKENS: Final[Mapping[Figure, Callable[[Figures], float]]] = {
    Figure.LOSS: lambda found: found.loss,
    Figure.PERPLEXITY: lambda found: found.perplexity,
    Figure.TOKEN_ACCURACY: lambda found: found.token_accuracy,
}
_ANSWERS: Final[Mapping[Figure, Callable[[AnswerFigures], float]]] = {
    Figure.EXACT_MATCH: lambda found: found.exact_match,
    Figure.PRECISION: lambda found: found.precision,
    Figure.RECALL: lambda found: found.recall,
    Figure.F1: lambda found: found.f1,
}
_LABELS: Final[Mapping[Figure, Callable[[LabelFigures], float]]] = {
    Figure.LABEL_ACCURACY: lambda found: found.accuracy,
    Figure.MACRO_PRECISION: lambda found: found.macro_precision,
    Figure.MACRO_RECALL: lambda found: found.macro_recall,
    Figure.MACRO_F1: lambda found: found.macro_f1,
    Figure.CALIBRATION_ERROR: lambda found: found.calibration_error,
}
OVER_TOKENS: Final = frozenset(_TOKENS)
"""Means over the tokens that bear loss, which a version's template and `trainOn` decide."""
OF_ANSWERS: Final = frozenset(_ANSWERS)
"""Means over generated answers."""
