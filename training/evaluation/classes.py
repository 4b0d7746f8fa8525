"""How well labels are chosen, and how well the model knows how sure it is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.evaluation.labels import ClassFigures, ConfidenceBin, LabelFigures

__all__ = ["Choice", "judged"]

BINS = 10


class Choice(NamedTuple):
    """A record's label, the one that was chosen, and how probable it was held to be, 0 to 1."""

    expected: str
    chosen: str
    confidence: float


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
