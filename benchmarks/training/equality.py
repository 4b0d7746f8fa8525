"""Whether the arms did equal work; ratios of unequal work mean nothing."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from benchmarks.training.arms import PACKED
from benchmarks.training.figures import Figures
from benchmarks.training.workloads import Workload

FIRST_LOSS_TOLERANCE: Final = 0.005
"""How far two first losses may lie apart, relative to them. A single number rounds to bf16 within 1 part
in 256; the mean over hundreds of tokens lies far closer."""
MEAN_LOSS_TOLERANCE: Final = 0.02
"""The same for the whole run's loss: adapters begin as other random numbers in each program."""


def differences(measured: Mapping[str, Sequence[Figures]], workload: Workload) -> list[str]:
    """What speaks against a comparison, a sentence each; empty where nothing does."""
    tokens, labels = sum(workload.lengths()), sum(workload.label_counts())
    steps = workload.steps
    found: list[str] = []
    for arm, runs in measured.items():
        for figures in runs:
            training = figures.training
            if (training.tokens, training.label_tokens) != (tokens, labels):
                found.append(
                    f"{arm} trained {training.tokens} tokens, {training.label_tokens} of them "
                    f"labels, instead of {tokens} and {labels}."
                )
            if not arm.startswith(PACKED) and training.steps != steps:
                found.append(f"{arm} took {training.steps} steps instead of {steps}.")
            found.extend(f"{arm} {text}" for text in _idleness(figures))
    return [*dict.fromkeys(found), *_unequal_losses(measured)]


def _idleness(figures: Figures) -> Iterator[str]:
    training = figures.training
    if not training.gradient_norm > 0:
        yield f"had no gradient (norm {training.gradient_norm})."
    if figures.changed_weights == 0:
        yield "changed no weight."


def _unequal_losses(measured: Mapping[str, Sequence[Figures]]) -> Iterator[str]:
    """Losses that are not what the others' are; the packed arm's steps have other rows."""
    comparable = {
        arm: runs[0].training for arm, runs in measured.items() if not arm.startswith(PACKED)
    }
    first = {arm: training.first_loss for arm, training in comparable.items()}
    yield from _apart("The first step's loss", first, FIRST_LOSS_TOLERANCE)
    mean = {arm: training.mean_loss for arm, training in comparable.items()}
    yield from _apart("The mean loss", mean, MEAN_LOSS_TOLERANCE)


def _apart(name: str, losses: Mapping[str, float], tolerance: float) -> Iterator[str]:
    infinite = [arm for arm, loss in losses.items() if not math.isfinite(loss)]
    for arm in infinite:
        yield f"{name} of {arm} is {losses[arm]}."
    if infinite or not losses:
        return
    lowest, highest = min(losses, key=losses.__getitem__), max(losses, key=losses.__getitem__)
    if losses[highest] - losses[lowest] > tolerance * losses[highest]:
        yield (
            f"{name} is {losses[lowest]:.4f} for {lowest} and {losses[highest]:.4f} for {highest}."
        )
