"""How much is trained: batches, steps and epochs against the records there are."""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from training.advice.case import Case
from training.findings import Finding, Severity, recommendation, warning

FEWEST_STEPS: Final = 50
"""With fewer the learning rate has hardly risen before it falls, and adapters stay near nothing."""
MOST_EPOCHS: Final = 10
FEW_RECORDS: Final = 1000
"""Of so few, `MOST_EPOCHS` are enough to know them by heart."""
FEWEST_TRAINED_TOKENS: Final = 10_000
FEWEST_HELD_OUT: Final = 20
"""Records of validation; the mean loss of fewer says more of these than of the model."""
_USUAL_BATCH: Final = 4
_USUAL_EPOCHS: Final = 3
_LARGEST_SUGGESTED: Final = 32


def batch_larger_than_data(case: Case) -> Iterator[Finding]:
    """A batch, or the batches of a step, that no epoch can fill."""
    rows, config = case.rows, case.config
    if 0 < rows < config.batch_size:
        size = 1 << (min(rows, _LARGEST_SUGGESTED).bit_length() - 1)
        alone = {"gradient_accumulation_steps": 1} if config.gradient_accumulation_steps > 1 else {}
        yield warning(
            "BATCH_LARGER_THAN_DATA",
            "batch_size",
            message=f"batchSize is {config.batch_size}, but there are {rows} training records.",
            remedy="Use smaller batches, so that an epoch has more than one step.",
            changes={"batch_size": size, **alone},
        )
    elif 0 < rows < case.examples:
        yield warning(
            "STEP_LARGER_THAN_DATA",
            "gradient_accumulation_steps",
            message=f"gradientAccumulationSteps is {config.gradient_accumulation_steps}, with which "
            f"a step takes {case.examples} examples, but there are {rows} training records.",
            remedy="Accumulate fewer batches, so that an epoch has more than one step.",
            changes={"gradient_accumulation_steps": rows // config.batch_size},
        )


def first_epoch_not_finished(case: Case) -> Iterator[Finding]:
    """A run that ends before it has seen every record."""
    most, whole = case.config.max_steps, case.steps_per_epoch
    if most is not None and most < whole:
        yield warning(
            "FIRST_EPOCH_NOT_FINISHED",
            "max_steps",
            message=f"maxSteps is {most}, but an epoch has {whole} steps: "
            f"{1 - most / whole:.0%} of the records are never seen.",
            remedy="Take at least the steps of one epoch, or fewer records with maxSamples.",
            changes={"max_steps": whole},
        )


def max_steps_not_reached(case: Case) -> Iterator[Finding]:
    """A limit above what the epochs come to."""
    most, whole = case.config.max_steps, case.steps_per_epoch * case.config.epochs
    if most is not None and 0 < whole < most:
        yield recommendation(
            "MAX_STEPS_NOT_REACHED",
            "max_steps",
            message=f"maxSteps is {most}, but {case.config.epochs} epochs have only {whole} steps.",
            remedy="Leave maxSteps out, or train more epochs.",
            changes={"max_steps": None},
        )


def few_steps(case: Case) -> Iterator[Finding]:
    """A run too short to learn from."""
    if not 0 < case.steps < FEWEST_STEPS:
        return
    changes = _more_steps(case)
    remedy = (
        "Take smaller steps, and see each record more often."
        if changes
        else "Add records: with more epochs these few would be known by heart."
    )
    yield warning(
        "FEW_STEPS",
        next(iter(changes), "epochs"),
        message=f"The run has {case.steps} optimizer steps, which is too few to learn much: "
        f"{case.rows} training records, {case.examples} a step, {case.epochs} epochs.",
        remedy=remedy,
        changes=changes,
    )


def _more_steps(case: Case) -> Mapping[str, object]:
    """What gives the run steps enough, or as many as sense allows; of what would do, that which
    trains on each record least often."""
    config = case.config
    batch, accumulated, epochs = (
        config.batch_size,
        config.gradient_accumulation_steps,
        max(_USUAL_EPOCHS, config.epochs),
    )

    def steps() -> int:
        return math.ceil(case.rows / (batch * accumulated)) * epochs

    while steps() < FEWEST_STEPS and accumulated > 1:
        accumulated //= 2
    while steps() < FEWEST_STEPS and batch > _USUAL_BATCH:
        batch = max(_USUAL_BATCH, batch // 2)
    if steps() < FEWEST_STEPS:
        enough = math.ceil(FEWEST_STEPS * epochs / steps())
        epochs = max(epochs, min(MOST_EPOCHS, enough))
    limited = {} if config.max_steps is None else {"max_steps": None}
    better = {
        "batch_size": batch,
        "gradient_accumulation_steps": accumulated,
        "epochs": epochs,
    }
    return {
        name: value for name, value in better.items() if value != getattr(config, name)
    } | limited


def many_epochs(case: Case) -> Iterator[Finding]:
    """Few records seen so often that they are learnt by heart."""
    seen_often = case.epochs > MOST_EPOCHS and case.rows < FEW_RECORDS
    if not seen_often or case.config.early_stopping.enabled:
        return
    stops = case.held_out >= FEWEST_HELD_OUT
    changes = {"early_stopping.enabled": True} if stops else {"epochs": MOST_EPOCHS}
    yield recommendation(
        "OVERFITTING_LIKELY",
        "epochs",
        message=f"{case.rows} training records are seen {case.epochs} times each, which most models "
        "then know by heart.",
        remedy="Stop early, once the validation loss no longer falls."
        if stops
        else f"Train at most {MOST_EPOCHS} epochs, or add records.",
        changes=changes,
    )


def few_trained_tokens(case: Case) -> Iterator[Finding]:
    """Data that says too little, however often."""
    facts = case.facts
    if not facts.row_tokens or facts.trained_share is None or not case.rows:
        return
    longest = case.config.max_sequence_length
    mean = sum(min(longest, each) for each in facts.row_tokens) / len(facts.row_tokens)
    tokens = round(case.rows * mean * facts.trained_share)
    if tokens < FEWEST_TRAINED_TOKENS:
        yield Finding(
            severity=Severity.RECOMMENDATION,
            code="FEW_TRAINED_TOKENS",
            path=("datasetId",),
            message=f"The training records hold about {tokens} tokens that bear loss, told from "
            "their characters: enough for a manner of answering, hardly for knowledge.",
            remedy="Add records, or longer answers.",
        )
