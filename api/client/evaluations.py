"""What the API answers about evaluations."""

from datetime import datetime

from api.client.record import Record
from api.client.results import Failure
from jobs.status import TaskStatus

__all__ = ["Evaluation", "EvaluationOptions", "PredictedRecord"]


class EvaluationOptions(Record):
    """What is to be measured, and of how much."""

    max_records: int | None = None
    seed: int = 42
    base: bool = True
    answers: bool = True
    max_new_tokens: int = 128


class AnswerFigures(Record):
    """Generated answers beside the expected ones: means over records, 0 to 1."""

    records: int
    exact_match: float
    precision: float
    recall: float
    f1: float
    cut: int


class ClassFigures(Record):
    """How well one label is chosen."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


class LabelFigures(Record):
    """Answers that are labels; macro figures are means over these."""

    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    calibration_error: float
    classes: tuple[ClassFigures, ...]


class ModelFigures(Record):
    """What was measured of one model; the loss in nats a token."""

    loss: float
    perplexity: float
    token_accuracy: float
    answers: AnswerFigures | None
    labels: LabelFigures | None


class SeenRecords(Record):
    """Test records that the version has seen in training."""

    count: int
    lines: tuple[int, ...]


class EvaluationResult(Record):
    """What was measured of a version, and of its base."""

    records: int
    dropped: int
    dropped_lines: tuple[int, ...]
    tuned: ModelFigures
    base: ModelFigures | None
    seen: SeenRecords | None
    unlabelled: str | None
    seconds: float


class Evaluation(Record):
    """A version measured on test records; `result` is null until it is READY."""

    id: str
    status: TaskStatus
    progress: float
    error: Failure | None
    dataset_name: str
    result: EvaluationResult | None
    created_at: datetime


class PredictedAnswer(Record):
    """What one model says to one record."""

    text: str | None
    exact: bool | None
    f1: float | None
    label: str | None
    confidence: float | None


class PredictedRecord(Record):
    """A test record, and what is answered to it."""

    line: int
    prompt: str
    expected: str
    tuned: PredictedAnswer
    base: PredictedAnswer | None
