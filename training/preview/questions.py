"""What a warm process is asked, and what it answers: a line of JSON each.

    {"kind": "PREVIEW", "question": {…}}    →    {"result": {…}} or {"error": Failure}

A further question is a kind, a record of what is asked, and a record of the answer.
"""

from enum import StrEnum
from typing import Any, Final

from training.config import DataType, Frozen, TrainOn
from training.events import Failure

__all__ = [
    "MOST_RECORDS",
    "MOST_TOKENS",
    "Answer",
    "Kind",
    "Preview",
    "PreviewQuestion",
    "PreviewedRecord",
    "Question",
]

MOST_RECORDS: Final = 20
"""Of one preview."""
MOST_TOKENS: Final = 512
"""Of one record that are shown; all of them are counted."""


class Kind(StrEnum):
    """What is asked for."""

    PREVIEW = "PREVIEW"


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
