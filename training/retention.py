"""Which checkpoints stay: the best ones, and the last."""

from collections.abc import Sequence
from typing import Protocol


class Ranked(Protocol):
    """A checkpoint as far as retention cares."""

    @property
    def name(self) -> str:
        """Its unique name."""

    @property
    def score(self) -> float | None:
        """The loss it is judged by; None for one saved amid an epoch, which is only ever the last."""

    @property
    def step(self) -> int:
        """Optimizer steps done when it was saved."""


def superfluous(checkpoints: Sequence[Ranked], keep_best: int) -> list[str]:
    """The names to delete, oldest first."""
    in_order = sorted(checkpoints, key=lambda each: each.step)
    kept = {each.name for each in _by_score(in_order)[:keep_best]}
    kept.update(each.name for each in in_order[-1:])
    return [each.name for each in in_order if each.name not in kept]


def best(checkpoints: Sequence[Ranked]) -> str | None:
    """The name of the one with the lowest loss, the earliest of equals; None where none is judged."""
    ranked = _by_score(checkpoints)
    return ranked[0].name if ranked else None


def _by_score(checkpoints: Sequence[Ranked]) -> list[Ranked]:
    judged = [(each.score, each.step, each) for each in checkpoints if each.score is not None]
    return [each for _, _, each in sorted(judged, key=lambda entry: entry[:2])]
