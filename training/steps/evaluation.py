"""How well a model predicts rows it is not trained on."""

from collections.abc import Callable, Sequence

from training.data.rows import TokenRow
from training.devices.world import WORLD_OF_ONE, World
from training.engine.engine import Engine
from training.scores import Scores
from training.steps.turns import turns


def evaluate(
    engine: Engine,
    rows: Sequence[TokenRow],
    *,
    world: World = WORLD_OF_ONE,
    should_stop: Callable[[], bool] = lambda: False,
) -> Scores | None:
    """The rows' token-weighted scores, without dropout; None if told to stop amid them.

    All processes of the world are given the same rows, and each computes its share.
    """
    scores = Scores()
    for turn in turns(engine, rows, world):
        if should_stop():
            return None
        found = engine.score(turn.packs)
        scores = scores.plus(found) if turn.counts else scores
    return world.total(scores)
