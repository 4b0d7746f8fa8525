"""A row in tokens as a question and its answer: what the model is given, and what it should say."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from transformers import PreTrainedTokenizerBase

from training.data.labels import MAX_LABELS
from training.data.rows import IGNORED, TokenRow

__all__ = ["Question", "label_answers", "question_of"]

_LEAST: Final = 2
"""Of labels, and of records on average for each."""


class Question(NamedTuple):
    """The last answer of a row, and all that stands before it."""

    line: int
    prompt_ids: list[int]
    answer_ids: list[int]
    """With the token that ends the turn."""
    expected: str
    """The answer's text."""


def question_of(
    row: TokenRow, tokenizer: PreTrainedTokenizerBase, stops: frozenset[int]
) -> Question | None:
    """The question in a row; None where loss is borne from its first token on, as in plain text."""
    labels = row.labels
    end = len(labels)
    while end and labels[end - 1] == IGNORED:
        end -= 1
    start = end
    while start and labels[start - 1] != IGNORED:
        start -= 1
    if start <= 1:
        return None
    answer = row.input_ids[start:end]
    said = list(answer)
    while said and said[-1] in stops:
        said.pop()
    text = str(tokenizer.decode(said, skip_special_tokens=True)).strip()
    return Question(row.line, row.input_ids[:start], answer, text)


def label_answers(questions: Sequence[Question]) -> Mapping[str, list[int]] | str:
    """The tokens of each label, if the answers are labels: few texts, each of several records. Else
    why they are none."""
    counts = Counter(each.expected for each in questions)
    if not _LEAST <= len(counts) <= MAX_LABELS:
        return f"There are {len(counts)} different answers; labels are {_LEAST} to {MAX_LABELS}."
    if len(counts) * _LEAST > len(questions):
        return f"There are {len(counts)} different answers in {len(questions)} records."
    return {each.expected: each.answer_ids for each in reversed(questions)}
