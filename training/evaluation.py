"""How well a model predicts rows it is not trained on."""

from collections.abc import Callable, Sequence

from training.engine.engine import Engine
from training.rendering import Row
from training.scores import Scores


def evaluate(
    engine: Engine, rows: Sequence[Row], *, should_stop: Callable[[], bool] = lambda: False
) -> Scores | None:
    """The rows' token-weighted scores, without dropout; None if told to stop amid them."""
    scores = Scores()
    for packs in engine.rounds(rows):
        if should_stop():
            return None
        scores = scores.plus(engine.score(packs))
    return scores
