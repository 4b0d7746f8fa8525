"""What can be said of how records are held out to test with, before a run starts."""

from collections.abc import Iterator
from typing import Final

from training.config import DataType, Frozen, Side, TrainingConfig
from training.findings import PATHS, Finding, Severity, error, patch_for

__all__ = ["VALIDATION_DATASET", "HeldOut", "held_out_advice", "held_out_errors"]

VALIDATION_DATASET: Final = ("data", "validationDatasetId")
"""Where the API's input names a dataset to test with."""


class HeldOut(Frozen):
    """What the checks must know of a dataset to test with."""

    records: int
    data_type: DataType
    trained_on: bool = False
    """Whether it holds the very records that are trained on."""


def held_out_errors(
    config: TrainingConfig, held_out: HeldOut | None, data_type: DataType
) -> Iterator[Finding]:
    """Why this dataset cannot test what is trained on records of this type, or not besides."""
    if held_out is None:
        return
    if held_out.data_type is not data_type:
        yield _unfit(
            "VALIDATION_TYPE_MISMATCH",
            f"The validation dataset is of type {held_out.data_type}, but the dataset of type "
            f"{data_type}.",
        )
    elif held_out.trained_on:
        yield _unfit(
            "VALIDATION_IS_TRAINING",
            "The validation dataset holds the very records that are trained on.",
        )
    if config.validation_split > 0:
        yield error(
            "TWO_VALIDATION_SOURCES",
            f"validationSplit is {config.validation_split}, but a dataset is named to test with.",
            remedy="Hold out a share of the records, or name a validation dataset.",
            changes={"validation_split": 0.0},
        )


def held_out_advice(
    config: TrainingConfig, held_out: HeldOut | None, data_type: DataType, *, records: int
) -> Iterator[Finding]:
    """A warning for each option that does nothing beside the others; `records` are those of the
    dataset that is trained on."""
    takes_all = config.max_samples is None or config.max_samples >= records
    if config.stratify and data_type is DataType.TEXT:
        yield _without_effect("stratify", "records of type TEXT have no labels")
    elif config.stratify and takes_all and held_out is not None:
        yield _without_effect("stratify", "no records are drawn beside a validation dataset")
    elif config.stratify and takes_all and config.validation_split == 0:
        yield _without_effect("stratify", "no records are held out")
    if config.drop_leaks_from is not Side.TRAINING and held_out is None:
        yield _without_effect(
            "drop_leaks_from", "without a validation dataset, duplicates stay on one side"
        )


def _unfit(code: str, message: str) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        code=code,
        path=VALIDATION_DATASET,
        message=message,
        remedy="Choose another validation dataset, or hold out a share by validationSplit.",
    )


def _without_effect(field: str, reason: str) -> Finding:
    name = PATHS[field][-1]
    default = TrainingConfig.model_fields[field].default
    return Finding(
        severity=Severity.WARNING,
        code="OPTION_WITHOUT_EFFECT",
        path=PATHS[field],
        message=f"{name} has no effect: {reason}.",
        remedy=f"Leave {name} out.",
        suggested_patch=patch_for({field: default}),
    )
