"""How well labels are chosen, and how well the model knows how sure it is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.config import Frozen

__all__ = ["Choice", "ClassFigures", "ConfidenceBin", "LabelFigures", "judged"]

BINS = 10


class Choice(NamedTuple):
    """A record's label, the one that was chosen, and how probable it was held to be, 0 to 1."""

    expected: str
    chosen: str
    confidence: float


class ClassFigures(Frozen):
    """One label: of the records that it was chosen for, and of those that have it."""

    label: str
    precision: float
    """The share that have it of those that it was chosen for; 0 where it never was."""
    recall: float
    """The share that it was chosen for of those that have it; 0 where none has."""
    f1: float
    """The harmonic mean of both."""
    support: int
    """How many have it."""


class ConfidenceBin(Frozen):
    """The records whose label was chosen with a confidence in `(from, to]`."""

    from_confidence: float
    to_confidence: float
    count: int
    confidence: float
    """The mean of theirs; 0 where there are none."""
    accuracy: float
    """The share that was right; 0 where there are none."""


class LabelFigures(Frozen):
    """All labels together. Macro figures are means over labels, each counting alike."""

    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    calibration_error: float
    """By how much confidence and accuracy differ in a bin, weighted by its records: the expected
    calibration error of Guo et al., "On Calibration of Modern Neural Networks", 2017."""
    classes: tuple[ClassFigures, ...]
    bins: tuple[ConfidenceBin, ...]


def judged(choices: Sequence[Choice]) -> LabelFigures:
    """The figures of at least one choice."""
    labels = sorted({each.expected for each in choices} | {each.chosen for each in choices})
    expected = np.array([labels.index(each.expected) for each in choices])
    chosen = np.array([labels.index(each.chosen) for each in choices])
    classes = tuple(
        _class(label, expected == number, chosen == number) for number, label in enumerate(labels)
    )
    right = expected == chosen
    bins = _bins(np.array([each.confidence for each in choices]), right)
    return LabelFigures(
        accuracy=float(right.mean()),
        macro_precision=float(np.mean([each.precision for each in classes])),
        macro_recall=float(np.mean([each.recall for each in classes])),
        macro_f1=float(np.mean([each.f1 for each in classes])),
        calibration_error=sum(each.count * abs(each.confidence - each.accuracy) for each in bins)
        / len(choices),
        classes=classes,
        bins=bins,
    )


def _class(label: str, has: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> ClassFigures:
    both = int((has & chosen).sum())
    precision = both / max(1, int(chosen.sum()))
    recall = both / max(1, int(has.sum()))
    total = precision + recall
    return ClassFigures(
        label=label,
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / total if total else 0.0,
        support=int(has.sum()),
    )


def _bins(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[ConfidenceBin, ...]:
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    found = []
    for number in range(BINS):
        those = place == number
        count = int(those.sum())
        found.append(
            ConfidenceBin(
                from_confidence=number / BINS,
                to_confidence=(number + 1) / BINS,
                count=count,
                confidence=float(confidence[those].mean()) if count else 0.0,
                accuracy=float(right[those].mean()) if count else 0.0,
            )
        )
    return tuple(found)
