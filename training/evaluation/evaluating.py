"""An evaluation from start to end: two models, one after the other, over the same rows."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Final, NamedTuple

from training.data.errors import NAMED_LINES
from training.devices.world import WORLD_OF_ONE
from training.evaluation.answering import Answer, Likeliest, answers, likeliest_labels
from training.evaluation.classes import Choice, judged
from training.evaluation.predictions import write_predictions
from training.evaluation.questions import Question, label_answers, question_of
from training.evaluation.spec import (
    AnswerFigures,
    EvaluationOptions,
    EvaluationResult,
    EvaluationSpec,
    Figures,
)
from training.evaluation.subjects import Subject, subject
from training.evaluation.testing import Tested, seen_in_training, tested
from training.evaluation.texts import overlap
from training.preparation import be_deterministic, hardware_of
from training.scores import Scores
from training.steps.evaluation import evaluate

__all__ = ["Said", "evaluated"]

_SCORED_TOGETHER: Final = 256
"""Rows between two looks at how far it is."""


class Said(NamedTuple):
    """What one model makes of the questions, by their lines."""

    figures: Figures
    answers: Mapping[int, Answer]
    labels: Mapping[int, Likeliest]


class _Asked(NamedTuple):
    """What both models are asked."""

    tested: Tested
    questions: Sequence[Question]
    labels: Mapping[str, list[int]]
    """The tokens of each; none where answers are no labels."""
    options: EvaluationOptions


def evaluated(
    spec: EvaluationSpec, folder: Path, *, told: Callable[[float], None]
) -> EvaluationResult:
    """Measure a version, and its base if asked to; the predictions lie in `folder` then.

    `told` is given how far it is, from 0 to 1, several times a minute. Raises a `TrainingError`.
    """
    began = time.monotonic()
    hardware = hardware_of(WORLD_OF_ONE)
    be_deterministic(hardware)
    test = tested(spec, folder)
    found = (question_of(row, test.tokenizer, test.stops) for row in test.rows)
    questions = [each for each in found if each is not None]
    labels = label_answers(questions)
    unlabelled = labels if isinstance(labels, str) else None
    asked = _Asked(test, questions, {} if isinstance(labels, str) else labels, spec.options)
    runs = [spec.run, spec.run.model_copy(update={"start": None})][: 1 + spec.options.base]
    progress = _Progress(told, asked, len(runs))
    said = []
    for run in runs:
        with subject(
            run, test.rows, tokenizer=test.tokenizer, stops=test.stops, hardware=hardware
        ) as model:
            said.append(_said(model, asked, progress))
    tuned, base = said[0], said[1] if len(said) > 1 else None
    write_predictions(folder, questions, test.tokenizer, tuned, base)
    return EvaluationResult(
        records=len(test.rows),
        trained_tokens=int(test.rows.trained_tokens.sum()),
        dropped=len(test.dropped),
        dropped_lines=test.dropped[:NAMED_LINES],
        tuned=tuned.figures,
        base=None if base is None else base.figures,
        seen=seen_in_training(spec, test.rows),
        unlabelled=unlabelled,
        seconds=time.monotonic() - began,
    )


class _Progress:
    """Tells how far an evaluation is, by what there is to do."""

    def __init__(self, told: Callable[[float], None], asked: _Asked, models: int) -> None:
        generated = asked.options.max_new_tokens / 4 if asked.options.answers else 0.0
        each = len(asked.tested.rows) + len(asked.questions) * (generated + len(asked.labels))
        self._told, self._all, self._done = told, max(1.0, each * models), 0.0
        self.of_answer = generated

    def advance(self, work: float) -> None:
        self._done += work
        self._told(min(1.0, self._done / self._all))


def _said(model: Subject, asked: _Asked, progress: _Progress) -> Said:
    scores = _scores(model, asked, progress)
    options, given = asked.options, dict[int, Answer]()
    if options.answers:
        for some in answers(model, asked.questions, max_new_tokens=options.max_new_tokens):
            given |= some
            progress.advance(progress.of_answer * len(some))
    chosen = {}
    for question in asked.questions if asked.labels else ():
        chosen[question.line] = likeliest_labels(model, question, asked.labels)
        progress.advance(len(asked.labels))
    figures = Figures(
        loss=scores.loss,
        perplexity=math.exp(min(scores.loss, _LARGEST_LOSS)),
        token_accuracy=scores.accuracy,
        answers=_answer_figures(asked.questions, given) if given else None,
        labels=judged([Choice(each.expected, *chosen[each.line]) for each in asked.questions])
        if chosen
        else None,
    )
    return Said(figures, given, chosen)


_LARGEST_LOSS: Final = 700.0
"""Whose exponential is still a number."""


def _scores(model: Subject, asked: _Asked, progress: _Progress) -> Scores:
    total, rows = Scores(), asked.tested.rows
    for start in range(0, len(rows), _SCORED_TOGETHER):
        some = rows[start : start + _SCORED_TOGETHER]
        scores = evaluate(model.engine, some)
        assert scores is not None  # noqa: S101 - nobody tells it to stop
        total = total.plus(scores)
        progress.advance(len(some))
    return total


def _answer_figures(questions: Sequence[Question], given: Mapping[int, Answer]) -> AnswerFigures:
    found = [overlap(given[each.line].text, each.expected) for each in questions]
    return AnswerFigures(
        records=len(found),
        exact_match=fmean(each.exact for each in found),
        precision=fmean(each.precision for each in found),
        recall=fmean(each.recall for each in found),
        f1=fmean(each.f1 for each in found),
        cut=sum(each.cut for each in given.values()),
    )
