"""How well a model predicts rows it is not trained on."""

from collections.abc import Callable, Sequence
from typing import Final

from torch.nn import Module

from training.loss import TokenLoss
from training.rendering import Row
from training.scores import Scores

ROWS_AT_ONCE: Final = 32
"""Few enough that a stop is heeded soon, many enough to group rows of like length."""


def evaluate(
    model: Module,
    loss: TokenLoss,
    rows: Sequence[Row],
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Scores | None:
    """The rows' token-weighted scores, without dropout; None if told to stop amid them."""
    was_training = model.training
    model.eval()
    try:
        scores = Scores()
        for start in range(0, len(rows), ROWS_AT_ONCE):
            if should_stop():
                return None
            scores = scores.plus(loss.score(rows[start : start + ROWS_AT_ONCE]))
        return scores
    finally:
        model.train(was_training)
