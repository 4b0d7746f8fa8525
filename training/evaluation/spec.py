"""What an evaluation child is told (`evaluation.json`) and what it answers (`result.json`)."""

from typing import Final

from pydantic import Field

from training.config import Frozen, JobSpec
from training.evaluation.labels import LabelFigures

__all__ = [
    "PREDICTIONS",
    "AnswerFigures",
    "EvaluationOptions",
    "EvaluationResult",
    "EvaluationSpec",
    "Figures",
    "Prediction",
    "Seen",
]

PREDICTIONS: Final = "predictions.jsonl"
"""A `Prediction` a line, in the order of the records; in the child's folder."""


class EvaluationOptions(Frozen):
    """What is measured, and of how much."""

    max_records: int | None = Field(default=None, ge=1)
    """Of the test records a sample of so many, drawn by `seed`; None for all."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    base: bool = True
    """Whether the base model is measured, too."""
    answers: bool = True
    """Whether answers are generated, and compared with the expected ones."""
    max_new_tokens: int = Field(default=128, ge=1, le=4096)
    """An answer that is longer is cut there."""


class EvaluationSpec(Frozen):
    """A trained version, and what it is tested with.

    `run` is what its own run was told, but with the test records for a dataset and the version for
    a start, so that all is rendered as it was trained.
    """

    run: JobSpec
    options: EvaluationOptions
    trained_on: str | None = None
    """The canonical records that it was trained on, where they are still there."""


class AnswerFigures(Frozen):
    """Generated answers beside the expected ones: means over records, each from 0 to 1."""

    records: int
    exact_match: float
    precision: float
    recall: float
    f1: float
    cut: int
    """Answers that did not end within the tokens allowed."""


class Figures(Frozen):
    """What was measured of one model."""

    loss: float
    """Mean cross-entropy in nats over the tokens that bear loss."""
    perplexity: float
    """Its exponential."""
    token_accuracy: float
    """The share of these tokens whose likeliest prediction is right."""
    answers: AnswerFigures | None = None
    """None where records have no answer apart from a prompt, or none were asked for."""
    labels: LabelFigures | None = None
    """None where the answers are no labels."""


class Seen(Frozen):
    """Test records that are in the dataset that the version was trained on."""

    count: int
    lines: tuple[int, ...]
    """The first of them."""


class EvaluationResult(Frozen):
    """What was measured."""

    records: int
    trained_tokens: int
    """Those that bear loss, over which it is measured."""
    dropped: int
    """Records that no loss can be measured of, or that are too long."""
    dropped_lines: tuple[int, ...]
    """The first of them."""
    tuned: Figures
    base: Figures | None
    seen: Seen | None
    """None where what it was trained on is no longer there."""
    unlabelled: str | None
    """Why no labels were judged; None where they were."""
    seconds: float


class Prediction(Frozen):
    """What the models answer to one record. Labels are the likeliest of those that there are."""

    line: int
    prompt: str
    expected: str
    tuned: str | None = None
    base: str | None = None
    tuned_exact: bool | None = None
    base_exact: bool | None = None
    tuned_f1: float | None = None
    base_f1: float | None = None
    tuned_label: str | None = None
    base_label: str | None = None
    tuned_confidence: float | None = None
    base_confidence: float | None = None
