"""What a warm process is asked, and what it answers: a line of JSON each.

    {"kind": "PREVIEW", "question": {…}}    →    {"result": {…}} or {"error": Failure}

A further question is a kind, a record of what is asked, and a record of the answer.
"""

from enum import StrEnum
from typing import Any, Final

from training.config import DataType, Frozen, TrainingConfig, TrainOn
from training.data.doctor.report import Leaks
from training.events import Failure

__all__ = [
    "DIVIDED_ROWS",
    "MOST_RECORDS",
    "MOST_TOKENS",
    "NAMED_LINES",
    "Answer",
    "ComparisonQuestion",
    "CountedRows",
    "CountedSides",
    "Kind",
    "LeaksAnswer",
    "Lines",
    "LostRecords",
    "Preview",
    "PreviewQuestion",
    "PreviewedRecord",
    "Question",
    "RecordsAsked",
    "RowsAnswer",
    "RowsQuestion",
    "WhyUnknown",
]

MOST_RECORDS: Final = 20
"""Of one preview."""
MOST_TOKENS: Final = 512
"""Of one record that are shown; all of them are counted."""
DIVIDED_ROWS: Final = 100_000
"""Of a run: more are counted, but neither divided into sides nor put into their order."""
NAMED_LINES: Final = 20
"""Of records to which the same happened; all of them are counted."""


class Kind(StrEnum):
    """What is asked for."""

    PREVIEW = "PREVIEW"
    ROWS = "ROWS"
    LEAKS = "LEAKS"
    """Of a run, by a `RowsQuestion`: of one whose rows were counted just now, exactly."""
    COMPARISON = "COMPARISON"


class Question(Frozen):
    """One line to the process."""

    kind: Kind
    question: dict[str, Any]


class Answer(Frozen):
    """One line of the process; one of the two is given."""

    result: dict[str, Any] | None = None
    error: Failure | None = None


class PreviewQuestion(Frozen):
    """Records of a dataset as a run would see them."""

    model_path: str
    """A local folder or a hub id."""
    dataset_path: str
    """A JSONL file of canonical records."""
    data_type: DataType
    after_line: int
    """The records begin with the line after it."""
    count: int
    chat_template: str | None = None
    train_on: TrainOn = TrainOn.ASSISTANT
    max_sequence_length: int


class PreviewedRecord(Frozen):
    """One record in tokens, as the loop sees it. The lists are as long as one another."""

    line: int
    token_ids: tuple[int, ...]
    """The first `MOST_TOKENS` of those within the longest length."""
    token_texts: tuple[str, ...]
    """What each token adds to the text; nothing, where a character is not whole yet."""
    trained: tuple[bool, ...]
    """Whether each token bears loss."""
    tokens_cut: bool
    """Whether there are more than are shown."""
    token_count: int
    """Of all tokens, those behind the longest length included."""
    trained_token_count: int
    """Of those within the longest length."""
    truncated: bool
    """Whether the loop sees only its beginning."""


class Preview(Frozen):
    """Records in order, and how they were rendered."""

    records: tuple[PreviewedRecord, ...]
    chat_template: str | None
    """The template's text; None where the tokenizer has none and the data needs none."""
    stop_tokens: tuple[str, ...]
    """At which generation is to stop."""


class RecordsAsked(Frozen):
    """A dataset whose rows are asked about."""

    path: str
    """A JSONL file of canonical records. Beside it their tokens may be kept."""
    sha256: str
    records: int
    examination: str
    """The folder that has what was found of each record, once they are examined."""


class RowsQuestion(Frozen):
    """What would become of a run's records."""

    model_path: str
    """A local folder or a hub id."""
    data_type: DataType
    data: RecordsAsked
    held_out: RecordsAsked | None = None
    """A dataset to test with, where one is named."""
    config: TrainingConfig
    shown: int
    """How many of the first records are to be shown in tokens."""


class Lines(Frozen):
    """Records to which the same happens."""

    count: int
    first: tuple[int, ...]
    """The lines of the first of them, from 1, at most `NAMED_LINES`."""


class LostRecords(Frozen):
    """The records of a dataset that a run would not train on, or not on all of."""

    refused: Lines
    """Longer than allowed, where the run is told to end for them."""
    too_long: Lines
    """Left out for their length."""
    truncated: Lines
    """Cut at the end to fit."""
    without_loss: Lines
    """Left out because no token that is left of them bears loss."""


class CountedSides(Frozen):
    """The rows of a run on both sides."""

    training_records: int
    validation_records: int
    steps: int
    """Of the whole run."""
    trained_tokens: int
    """That bear loss over the whole run, each as often as it is seen."""
    leaked: Lines
    """Left out of the side that `drop_leaks_from` names, because the other has them too."""


class CountedRows(Frozen):
    """The rows of a run, counted. Rows that are refused are counted as if they were cut."""

    sides: CountedSides | None
    """None where there are too many rows to be divided in a moment."""
    lost: LostRecords
    lost_held_out: LostRecords | None
    """Of the dataset to test with."""


class RowsAnswer(Frozen):
    """What is known of a run's rows after a moment."""

    rows: CountedRows | None
    """None where counting takes longer: of a large dataset whose tokens are not kept yet."""
    shown: tuple[PreviewedRecord, ...]
    """The first records."""


class ComparisonQuestion(Frozen):
    """Which records of a dataset are in another, too, or nearly: by the folders of their
    examinations."""

    ours: str
    others: str


class WhyUnknown(StrEnum):
    """Why nothing is said of leaks."""

    NOT_EXAMINED = "NOT_EXAMINED"
    TOO_MANY = "TOO_MANY"
    """Records, for the time that there is."""


class LeaksAnswer(Frozen):
    """What leaks from the one side into the other; one of `leaks` and `unknown` is given."""

    leaks: Leaks | None = None
    unknown: WhyUnknown | None = None
    foreseen: bool = False
    """Whether the sides are those that a run has if it leaves no record out."""
