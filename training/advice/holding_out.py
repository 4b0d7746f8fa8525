"""What is held out to judge by, and whether what relies on it can work."""

import math
from collections.abc import Iterator
from typing import Final

from training.advice.amount import FEWEST_HELD_OUT
from training.advice.case import Case
from training.findings import Finding, recommendation, warning

_LARGEST_SHARE: Final = 0.2
"""Of the records: more is missed in training."""
_USUAL_SHARE: Final = 0.1


def fitting_split(samples: int) -> float:
    """The share to hold out of so many records: a tenth, or of few as much as tells anything."""
    needed = math.ceil(1000 * FEWEST_HELD_OUT / max(1, samples)) / 1000
    return max(_USUAL_SHARE, needed) if needed <= _LARGEST_SHARE else _USUAL_SHARE


def nothing_held_out(case: Case) -> Iterator[Finding]:
    """A run that nobody can judge."""
    if case.samples > 1 and not case.held_out:
        yield recommendation(
            "NO_VALIDATION",
            "validation_split",
            message="No records are held out, so overfitting will not be seen, and the best "
            "checkpoint is the one with the lowest training loss.",
            remedy="Hold out some of the records.",
            changes={"validation_split": fitting_split(case.samples)},
        )


def little_held_out(case: Case) -> Iterator[Finding]:
    """A validation loss that is mostly chance."""
    if case.facts.held_out is not None or not 0 < case.held_out < FEWEST_HELD_OUT:
        return
    say = warning if case.config.early_stopping.enabled else recommendation
    split = fitting_split(case.samples)
    enough = split * case.samples >= FEWEST_HELD_OUT
    decides = "what stops the run and" if case.config.early_stopping.enabled else "what"
    yield say(
        "FEW_VALIDATION_RECORDS",
        "validation_split",
        message=f"validationSplit is {case.config.validation_split}, which holds out "
        f"{case.held_out} of {case.samples} records: their loss, {decides} chooses the best "
        "checkpoint, is mostly chance.",
        remedy=f"Hold out at least {FEWEST_HELD_OUT} records."
        if enough
        else "Add records, and read the validation loss with care until then.",
        changes={"validation_split": split} if enough else None,
    )


def early_stopping_too_late(case: Case) -> Iterator[Finding]:
    """A patience that outlasts the run: the first epoch is always a gain."""
    policy, epochs = case.config.early_stopping, case.epochs
    if not (policy.enabled and epochs and policy.patience >= epochs - 1):
        return
    longest = epochs - 2
    yield warning(
        "EARLY_STOPPING_WITHOUT_EFFECT",
        "early_stopping.patience",
        message=f"earlyStopping.patience is {policy.patience}, but with {epochs} epochs no run stops "
        f"before its end unless it is at most {longest}."
        if longest > 0
        else f"earlyStopping is enabled, but no run of {epochs} epochs can stop before its end.",
        remedy="Lower the patience, or train more epochs." if longest > 0 else "Turn it off.",
        changes={"early_stopping.patience": min(3, longest)}
        if longest > 0
        else {"early_stopping.enabled": False},
    )


def checkpoints_too_seldom(case: Case) -> Iterator[Finding]:
    """An interval that only the run's end is within."""
    policy = case.config.checkpointing
    if policy.enabled and policy.interval > case.epochs > 1:
        yield warning(
            "CHECKPOINTS_TOO_SELDOM",
            "checkpointing.interval",
            message=f"checkpointing.interval is {policy.interval}, but there are {case.epochs} "
            "epochs: only the last is saved, even if another was better.",
            remedy="Save every epoch; those that are not among the best are deleted again.",
            changes={"checkpointing.interval": 1},
        )
