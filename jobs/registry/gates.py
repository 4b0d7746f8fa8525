"""What a version must be to go into production: a model's gate."""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from pydantic import Field

from jobs.models import ModelVersion, TrainingJob
from jobs.registry.figures import FigureBound
from jobs.registry.judging import figure_shortcomings, refusal
from training.config import Frozen, TrainingConfig
from training.events import TrainingResult
from training.findings import Finding

__all__ = ["Gate", "same_rows", "shortcomings"]

_DIVIDING: Final = (
    "validation_split",
    "stratify",
    "shuffle",
    "seed",
    "max_samples",
    "on_too_long",
    "max_sequence_length",
    "drop_leaks_from",
)
"""The fields of a config that decide which rows of a dataset are held out."""


class Gate(Frozen):
    """Bounds on what was measured of a version: by its run, of the rows that were held out from its
    training, and by an evaluation."""

    min_accuracy: float | None = Field(default=None, ge=0, le=1)
    """The least share of tokens foretold."""
    max_loss: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """The most loss, in nats a token."""
    not_worse: bool = False
    """Whether its loss must be at most that of the version in production, on the same rows."""
    figures: tuple[FigureBound, ...] = Field(default=(), max_length=20)
    """What its newest evaluation must show."""
    test_dataset_id: UUID | None = None
    """The dataset on which that counts; None for any."""
    test_dataset_sha256: str | None = None
    """Of its content, by which an evaluation on it is known even if it is deleted."""


async def shortcomings(
    gate: Gate, version: ModelVersion, active: ModelVersion | None
) -> list[Finding]:
    """Why a version may not replace the one in production, if there is one."""
    result = TrainingResult.model_validate(version.result)
    found = list(_out_of_bounds(gate, version, result))
    if gate.not_worse and active is not None and active.id != version.id:
        found += await _worse(version, result, active)
    if gate.figures:
        judged = figure_shortcomings(
            gate.figures, gate.test_dataset_sha256, version=version, active=active
        )
        found += [each async for each in judged]
    return found


async def same_rows(a: ModelVersion, b: ModelVersion) -> bool:
    """Whether the figures of two versions were measured on the same rows."""
    jobs = await TrainingJob.filter(id__in=[a.job_id, b.job_id])
    by_id = {job.id: job for job in jobs}
    return _held_out(by_id[a.job_id]) == _held_out(by_id[b.job_id])


def _held_out(job: TrainingJob) -> tuple[object, ...]:
    config = TrainingConfig.model_validate(job.config)
    if job.validation_sha256 is not None:
        return (job.validation_sha256, config.max_sequence_length, config.on_too_long)
    return (job.dataset_sha256, *(getattr(config, name) for name in _DIVIDING))


def _out_of_bounds(gate: Gate, version: ModelVersion, result: TrainingResult) -> Iterator[Finding]:
    accuracy, loss = result.validation_accuracy, result.validation_loss
    if gate.min_accuracy is not None and (accuracy is None or accuracy < gate.min_accuracy):
        yield refusal(
            "ACCURACY_BELOW_GATE",
            f"Version {version.version} has an accuracy of {_shown(accuracy)}; the gate asks for at "
            f"least {gate.min_accuracy:.4g}.",
        )
    if gate.max_loss is not None and (loss is None or loss > gate.max_loss):
        yield refusal(
            "LOSS_ABOVE_GATE",
            f"Version {version.version} has a validation loss of {_shown(loss)}; the gate allows at "
            f"most {gate.max_loss:.4g}.",
        )


async def _worse(
    version: ModelVersion, result: TrainingResult, active: ModelVersion
) -> list[Finding]:
    former = TrainingResult.model_validate(active.result).validation_loss
    loss = result.validation_loss
    if loss is None or former is None or not await same_rows(version, active):
        message = (
            f"Whether {version.version} is worse than {active.version}, which is ACTIVE, cannot be "
            "told: they were not measured on the same held-out rows."
        )
        return [refusal("NOT_COMPARABLE", message)]
    if loss <= former:
        return []
    message = (
        f"Version {version.version} has a validation loss of {loss:.4g}; that of "
        f"{active.version}, which is ACTIVE, is {former:.4g} on the same rows."
    )
    return [refusal("WORSE_THAN_ACTIVE", message)]


def _shown(measured: float | None) -> str:
    return "unknown, since no rows were held out" if measured is None else f"{measured:.4g}"
