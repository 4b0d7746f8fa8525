"""The figures of labels, as data; `classes` computes them."""

from training.config import Frozen

__all__ = ["ClassFigures", "ConfidenceBin", "LabelFigures"]


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
