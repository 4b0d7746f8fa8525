"""The measures of answers and of labels, beside worked examples and scikit-learn's."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from training.evaluation.classes import Choice, judged
from training.evaluation.texts import normalised, overlap


@pytest.mark.parametrize(
    ("given_answer", "expected", "figures"),
    [
        ("The cat sat.", "a cat sat", (True, 1.0, 1.0, 1.0)),
        ("the cat sat on the mat", "cat mat", (False, 0.5, 1.0, 2 / 3)),
        ("yes yes yes", "yes yes no", (False, 2 / 3, 2 / 3, 2 / 3)),
        ("Paris", "Rome", (False, 0.0, 0.0, 0.0)),
        ("", "Rome", (False, 0.0, 0.0, 0.0)),
        ("The", "an!", (True, 1.0, 1.0, 1.0)),
        ("„Größe“ — 3", "größe 3", (True, 1.0, 1.0, 1.0)),
    ],
)
def test_answers_are_compared_as_squad_does(
    given_answer: str, expected: str, figures: tuple[bool, float, float, float]
) -> None:
    found = overlap(given_answer, expected)
    assert (found.exact, found.precision, found.recall) == figures[:3]
    assert found.f1 == pytest.approx(figures[3])


@given(st.text(), st.text())
def test_precision_and_recall_change_places(a: str, b: str) -> None:
    there, back = overlap(a, b), overlap(b, a)
    assert (there.exact, there.precision, there.recall) == (back.exact, back.recall, back.precision)
    assert there.exact == (normalised(a) == normalised(b))
    assert overlap(a, a).f1 == 1.0


@pytest.mark.parametrize("labels", [2, 5])
def test_labels_are_judged_as_scikit_learn_does(labels: int) -> None:
    chance = random.Random(labels)
    names = [f"label {number}" for number in range(labels)]
    expected = [chance.choice(names[:-1]) for _ in range(200)]
    chosen = [chance.choice(names) for _ in range(200)]
    sure = [chance.random() for _ in range(200)]
    found = judged([Choice(*each) for each in zip(expected, chosen, sure, strict=True)])
    table = precision_recall_fscore_support(expected, chosen, labels=names, zero_division=0)
    told = [[each.precision, each.recall, each.f1, each.support] for each in found.classes]
    np.testing.assert_allclose(np.array(told).T, np.array(table), rtol=1e-12)
    macro = precision_recall_fscore_support(expected, chosen, average="macro", zero_division=0)
    figures = (found.macro_precision, found.macro_recall, found.macro_f1)
    np.testing.assert_allclose(figures, macro[:3], rtol=1e-12)
    assert found.accuracy == pytest.approx(accuracy_score(expected, chosen))


def test_calibration_is_the_mean_gap_between_confidence_and_accuracy() -> None:
    choices = [
        Choice("a", "a", 1.0),
        Choice("a", "b", 0.95),
        Choice("b", "b", 0.55),
        Choice("b", "a", 0.6),
    ]
    found = judged(choices)
    bins = {each.to_confidence: each for each in found.bins if each.count}
    assert {top: (each.count, each.accuracy) for top, each in bins.items()} == {
        0.6: (2, 0.5),
        1.0: (2, 0.5),
    }
    assert found.calibration_error == pytest.approx(0.5 * 0.075 + 0.5 * 0.475)
