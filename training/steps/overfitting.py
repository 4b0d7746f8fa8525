"""Whether a run has begun to learn its training rows by heart."""

from collections.abc import Sequence
from itertools import pairwise

from training.steps.state import EpochMetrics


def began_to_overfit(history: Sequence[EpochMetrics]) -> bool:
    """Whether the last epoch is the second in a row in which the training loss fell and the
    validation loss rose, and no earlier epoch was."""
    signs = [_parted(before, after) for before, after in pairwise(history)]
    pairs = list(pairwise(signs))
    return (True, True) in pairs and pairs.index((True, True)) == len(pairs) - 1


def _parted(before: EpochMetrics, after: EpochMetrics) -> bool:
    if before.validation_loss is None or after.validation_loss is None:
        return False
    return (
        after.training_loss < before.training_loss
        and after.validation_loss > before.validation_loss
    )
