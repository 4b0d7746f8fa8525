"""What two models said to each question, as a file of a line each."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from training.evaluation.answering import Answer, Likeliest
from training.evaluation.questions import Question
from training.evaluation.spec import PREDICTIONS, Prediction
from training.evaluation.texts import overlap
from training.files import whole_file

__all__ = ["write_predictions"]


class Said(Protocol):
    """What one model said, by the questions' lines."""

    @property
    def answers(self) -> Mapping[int, Answer]:
        """Generated ones."""

    @property
    def labels(self) -> Mapping[int, Likeliest]:
        """Chosen ones."""


def write_predictions(
    folder: Path,
    questions: Sequence[Question],
    tokenizer: PreTrainedTokenizerBase,
    tuned: Said,
    base: Said | None,
) -> None:
    """Write a `Prediction` for each question. Raises `DiskFull`."""
    named = [("tuned", tuned)] + ([] if base is None else [("base", base)])
    with whole_file(folder / PREDICTIONS) as path, path.open("w", encoding="utf-8") as file:
        for question in questions:
            told: dict[str, object] = {}
            for name, said in named:
                told |= {f"{name}{key}": value for key, value in _told(question, said)}
            prediction = Prediction(
                line=question.line,
                prompt=str(tokenizer.decode(question.prompt_ids)),
                expected=question.expected,
                **told,
            )
            file.write(prediction.model_dump_json() + "\n")


def _told(question: Question, said: Said) -> Iterator[tuple[str, object]]:
    answer, label = said.answers.get(question.line), said.labels.get(question.line)
    if answer is not None:
        found = overlap(answer.text, question.expected)
        yield from (("", answer.text), ("_exact", found.exact), ("_f1", found.f1))
    if label is not None:
        yield from (("_label", label.label), ("_confidence", label.confidence))
