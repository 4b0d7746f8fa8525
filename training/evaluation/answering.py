"""What a model says to questions: its likeliest answer, and the likeliest of given labels."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from training.data.rows import IGNORED, Row
from training.evaluation.questions import Question
from training.evaluation.subjects import Subject
from training.generation import greedy
from training.methods.adapters import causal_model

__all__ = ["Answer", "Likeliest", "answers", "likeliest_labels"]

_TOGETHER: Final = 8
"""Prompts of about one length that are answered at the same time."""


class Answer(NamedTuple):
    """A generated answer."""

    text: str
    cut: bool
    """Whether it did not end within the tokens allowed."""


class Likeliest(NamedTuple):
    """The label that a model holds most probable, and how probable among all labels."""

    label: str
    confidence: float


@torch.no_grad()
def answers(
    subject: Subject, questions: Sequence[Question], *, max_new_tokens: int
) -> Iterator[dict[int, Answer]]:
    """The likeliest answers by the questions' lines, some at a time.

    Shorter prompts are filled up on the left, where attention does not see them.
    """
    model, tokenizer = causal_model(subject.model), subject.tokenizer
    config = greedy(subject.model, tokenizer, max_new_tokens)
    stops = set(config.eos_token_id)
    model.train(False)
    generate: Callable[..., Tensor] = model.generate  # type: ignore[assignment]
    by_length = sorted(questions, key=lambda each: len(each.prompt_ids))
    for start in range(0, len(by_length), _TOGETHER):
        asked = by_length[start : start + _TOGETHER]
        longest = len(asked[-1].prompt_ids)
        ids = torch.full((len(asked), longest), config.pad_token_id)
        for row, question in zip(ids, asked, strict=True):
            row[longest - len(question.prompt_ids) :] = torch.tensor(question.prompt_ids)
        lengths = torch.tensor([[len(each.prompt_ids)] for each in asked])
        seen = (torch.arange(longest) >= longest - lengths).long()
        device = subject.hardware.device
        generated = generate(
            input_ids=ids.to(device), attention_mask=seen.to(device), generation_config=config
        )
        new = generated[:, longest:].tolist()
        yield {
            question.line: _answer(said, stops, subject)
            for question, said in zip(asked, new, strict=True)
        }


def likeliest_labels(
    subject: Subject, question: Question, labels: Mapping[str, list[int]]
) -> Likeliest:
    """The label whose tokens, the end of the turn included, are most probable after the prompt.

    Probabilities are those of the labels alone, which add up to 1.
    """
    logs = {}
    for label, answer_ids in labels.items():
        ids = question.prompt_ids + answer_ids
        targets = [IGNORED] * len(question.prompt_ids) + answer_ids
        row = Row(question.line, ids, targets, b"")
        logs[label] = -subject.engine.score([subject.engine.packed([row])]).loss_sum
    best = max(logs, key=logs.__getitem__)
    total = sum(math.exp(each - logs[best]) for each in logs.values())
    return Likeliest(best, 1 / total)


def _answer(said: Sequence[int], stops: set[int], subject: Subject) -> Answer:
    end = next((place for place, token in enumerate(said) if token in stops), len(said))
    text = subject.tokenizer.decode(list(said[:end]), skip_special_tokens=True)
    return Answer(str(text).strip(), cut=end == len(said))
