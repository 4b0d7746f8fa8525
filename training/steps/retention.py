"""Which checkpoints stay: the best ones, the last, and those that somebody asked for."""

from collections.abc import Sequence
from typing import Protocol


class Ranked(Protocol):
    """A checkpoint as far as retention cares."""

    @property
    def name(self) -> str:
        """Its unique name."""

    @property
    def score(self) -> float | None:
        """The loss it is judged by; None for one saved amid an epoch."""

    @property
    def step(self) -> int:
        """Optimizer steps done when it was saved."""


class Kept(Ranked, Protocol):
    """A checkpoint of a run that goes on."""

    @property
    def requested(self) -> bool:
        """Whether somebody asked for it; such a one is theirs to delete."""


def superfluous(checkpoints: Sequence[Kept], keep_best: int) -> list[str]:
    """The names to delete, oldest first."""
    in_order = sorted(checkpoints, key=lambda each: each.step)
    kept = set(best_names(in_order, keep_best))
    kept.update(each.name for each in in_order[-1:])
    kept.update(each.name for each in in_order if each.requested)
    return [each.name for each in in_order if each.name not in kept]


def best(checkpoints: Sequence[Ranked]) -> str | None:
    """The name of the one with the lowest loss, the earliest of equals; None where none is judged."""
    return next(iter(best_names(checkpoints, 1)), None)


def best_names(checkpoints: Sequence[Ranked], count: int) -> list[str]:
    """The names of so many with the lowest loss, best first; those not judged are none of them."""
    judged = [(each.score, each.step, each.name) for each in checkpoints if each.score is not None]
    return [name for _, _, name in sorted(judged)[:count]]
