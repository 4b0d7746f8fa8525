"""A training job's history: one type a kind of event."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias
from uuid import UUID

import strawberry

from jobs.models import JobEvent
from schema.context import Info
from schema.data.data_events import DataPrepared, DataProgress, TrainingEvent
from schema.enums import ComputePath, JobStatus, StartKind, describe
from schema.nodes import Failure, failure
from schema.runs.checkpoints import Checkpoint, EpochMetrics
from schema.runs.resources import MemoryEstimate, ResourceUsage
from schema.scalars import BigInt
from training.estimates import MemoryEstimate as StoredMemory

if TYPE_CHECKING:  # a job has events and its last event the version: a circle of types only
    from schema.registry.versions import ModelVersion

__all__ = ["EVENT_TYPES", "TrainingEvent", "from_row"]

VersionOfJob: TypeAlias = Annotated["ModelVersion", strawberry.lazy("schema.registry.versions")]


class SampleStage(StrEnum):
    BEFORE = "BEFORE"
    AFTER = "AFTER"


describe(
    SampleStage,
    "Which model answered.",
    {"BEFORE": "The model that the run starts from.", "AFTER": "The best checkpoint, after it."},
)


@strawberry.type(description="The job came to stand elsewhere.")
class StatusChanged(TrainingEvent):
    from_status: JobStatus | None = strawberry.field(
        name="from", description="Where it stood; null when it was made."
    )
    to_status: JobStatus = strawberry.field(name="to", description="Where it stands.")
    reason: str | None = strawberry.field(description="Why, where that needs saying.")


@strawberry.type(description="The run starts from trained weights, not from the base model's own.")
class StartedFrom(TrainingEvent):
    source: StartKind = strawberry.field(description="What they were taken from.")
    name: str = strawberry.field(description="The version's or the checkpoint's name.")


@strawberry.type(description="How the run computes: chosen by comparison with the model itself.")
class EngineChosen(TrainingEvent):
    path: ComputePath = strawberry.field(description="Which way of computing the model is taken.")
    reason: str | None = strawberry.field(
        description="What spoke against the faster ways; null where the fastest is taken."
    )
    precision: str = strawberry.field(description="The element type computed in, by torch's name.")
    device: str = strawberry.field(description="What computes.")
    lanes: int = strawberry.field(description="Micro-batches computed at the same time.")
    token_budget: int = strawberry.field(
        description="Tokens that these hold together, at most, single longer rows excepted."
    )


@strawberry.type(description="The run goes on from a checkpoint instead of from the start.")
class Resumed(TrainingEvent):
    checkpoint_name: str = strawberry.field(description="The checkpoint that it goes on from.")
    epoch: int = strawberry.field(description="The epoch it goes on in.")
    step: int = strawberry.field(description="The last optimizer step it need not repeat.")


@strawberry.type(description="The memory that the run will need was told, before its first step.")
class MemoryEstimated(TrainingEvent):
    memory: MemoryEstimate = strawberry.field(description="By what it is held for.")


@strawberry.type(description="The time of the attempt was told, from the pace of its first steps.")
class TimeEstimated(TrainingEvent):
    seconds: float = strawberry.field(
        description="From the start of its process to its end, without an early stop."
    )


@strawberry.type(description="What the attempt needed was measured, at its end.")
class ResourcesUsed(TrainingEvent):
    usage: ResourceUsage = strawberry.field(description="What was measured.")


@strawberry.type(description="A measurement in passing.")
class ProgressReported(TrainingEvent):
    progress: float = strawberry.field(description="How far the job is, 0 to 100.")
    epoch: int = strawberry.field(description="The epoch under way, from 1.")
    total_epochs: int = strawberry.field(description="Epochs in all.")
    step: int = strawberry.field(description="Optimizer steps taken.")
    total_steps: int = strawberry.field(description="Optimizer steps in all.")
    loss: float = strawberry.field(description="Of the newest step.")
    accuracy: float = strawberry.field(description="Share of tokens foretold in it, 0 to 1.")
    learning_rate: float = strawberry.field(description="Of the newest step.")
    gradient_norm: float | None = strawberry.field(description="Of the newest step, before cuts.")
    tokens_per_second: float = strawberry.field(description="The pace.")
    estimated_time_remaining: float | None = strawberry.field(description="In seconds.")


@strawberry.type(description="An epoch ended.")
class EpochCompleted(TrainingEvent):
    metrics: EpochMetrics = strawberry.field(description="What was measured.")


@strawberry.type(description="A checkpoint lies whole on disk.")
class CheckpointSaved(TrainingEvent):
    name: str = strawberry.field(description="The checkpoint's name.")
    epoch: int = strawberry.field(description="The last finished epoch in it.")
    step: int = strawberry.field(description="The last optimizer step in it.")
    validation_loss: float | None = strawberry.field(description="Over the rows held out.")
    validation_accuracy: float | None = strawberry.field(
        description="Share of tokens foretold of the rows held out."
    )
    size_bytes: BigInt = strawberry.field(description="Its size on disk.")
    best: bool = strawberry.field(description="Whether it is the best of its job so far.")
    removed: list[str] = strawberry.field(description="Checkpoints deleted to make room for it.")
    score: float | None = strawberry.field(
        description="The loss it is judged by; null for one saved amid an epoch."
    )
    requested: bool = strawberry.field(description="Whether it was asked for.")
    job_key: strawberry.Private[UUID]

    @strawberry.field(description="The checkpoint; null once it was deleted.")
    async def checkpoint(self, info: Info) -> Checkpoint | None:
        stored = await info.context.loaders.checkpoints.load(self.job_key)
        return next((each for each in stored if each.name == self.name), None)


@strawberry.type(description="Something to know, though the run goes on.")
class WarningRaised(TrainingEvent):
    code: str = strawberry.field(description="Stable, for programs.")
    message: str = strawberry.field(description="What is the matter, with the value.")
    remedy: str | None = strawberry.field(description="What to do about it, where that is known.")


@strawberry.type(description="The validation loss stopped falling.")
class StoppedEarly(TrainingEvent):
    epoch: int = strawberry.field(description="The last epoch that was run.")
    best_epoch: int = strawberry.field(description="The epoch whose checkpoint is taken.")


@strawberry.type(description="A prompt and what one model answered.")
class Answer:
    prompt: str = strawberry.field(description="The prompt, as it was given.")
    answer: str = strawberry.field(description="What the model answered.")


@strawberry.type(description="The sample prompts were answered.")
class SamplesGenerated(TrainingEvent):
    stage: SampleStage = strawberry.field(description="Which model answered.")
    samples: list[Answer] = strawberry.field(description="The answers, in the prompts' order.")


@strawberry.type(description="The job ended; no event follows.")
class JobFinished(TrainingEvent):
    status: JobStatus = strawberry.field(description="How it ended.")
    error: Failure | None = strawberry.field(description="Why it FAILED.")
    version_key: strawberry.Private[UUID | None]

    @strawberry.field(description="What it made; null unless it is COMPLETED.")
    async def model_version(self, info: Info) -> VersionOfJob | None:
        if self.version_key is None:
            return None
        return await info.context.loaders.versions.load(self.version_key)


def from_row(row: JobEvent) -> TrainingEvent:
    """The event that a row of the history holds."""
    return _MAKERS[row.kind](row, {"seq": row.seq, "at": row.at, "attempt": row.attempt})


def _status_changed(row: JobEvent, common: Mapping[str, Any]) -> TrainingEvent:
    before = row.data["from"]
    return StatusChanged(
        **common,
        from_status=None if before is None else JobStatus(before),
        to_status=JobStatus(row.data["to"]),
        reason=row.data["reason"],
    )


def _engine_chosen(row: JobEvent, common: Mapping[str, Any]) -> TrainingEvent:
    return EngineChosen(**common, **row.data | {"path": ComputePath(row.data["path"])})


def _resumed(row: JobEvent, common: Mapping[str, Any]) -> TrainingEvent:
    name, epoch, step = row.data["checkpoint"], row.data["epoch"], row.data["step"]
    return Resumed(**common, checkpoint_name=name, epoch=epoch, step=step)


def _memory_estimated(row: JobEvent, common: Mapping[str, Any]) -> TrainingEvent:
    memory = StoredMemory.model_validate(row.data["memory"])
    return MemoryEstimated(**common, memory=MemoryEstimate.of(memory))


def _resources_used(row: JobEvent, common: Mapping[str, Any]) -> TrainingEvent:
    return ResourcesUsed(**common, usage=ResourceUsage.of(row.data))


def _epoch_completed(row: JobEvent, common: Mapping[str, Any]) -> TrainingEvent:
    return EpochCompleted(**common, metrics=EpochMetrics(**row.data))


def _checkpoint_saved(row: JobEvent, common: Mapping[str, Any]) -> TrainingEvent:
    judged = {"score": None, "requested": False} | row.data  # older rows lack both
    return CheckpointSaved(**common, **judged, job_key=row.job_id)


def _started_from(row: JobEvent, common: Mapping[str, Any]) -> TrainingEvent:
    return StartedFrom(**common, source=StartKind(row.data["source"]), name=row.data["name"])


def _samples_generated(row: JobEvent, common: Mapping[str, Any]) -> TrainingEvent:
    answers = [Answer(**sample) for sample in row.data["samples"]]
    return SamplesGenerated(**common, stage=SampleStage(row.data["stage"]), samples=answers)


def _job_finished(row: JobEvent, common: Mapping[str, Any]) -> TrainingEvent:
    version_id = row.data["version_id"]
    return JobFinished(
        **common,
        status=JobStatus(row.data["status"]),
        error=failure(row.data["error"]),
        version_key=None if version_id is None else UUID(version_id),
    )


_MAKERS: Final[Mapping[str, Callable[[JobEvent, Mapping[str, Any]], TrainingEvent]]] = {
    "StatusChanged": _status_changed,
    "DataProgress": lambda row, common: DataProgress(**common, **row.data),
    "DataPrepared": lambda row, common: DataPrepared(**common, **row.data),
    "StartedFrom": _started_from,
    "EngineChosen": _engine_chosen,
    "Resumed": _resumed,
    "MemoryEstimated": _memory_estimated,
    "TimeEstimated": lambda row, common: TimeEstimated(**common, **row.data),
    "ResourcesUsed": _resources_used,
    "Progress": lambda row, common: ProgressReported(**common, **row.data),
    "EpochCompleted": _epoch_completed,
    "CheckpointSaved": _checkpoint_saved,
    "WarningRaised": lambda row, common: WarningRaised(**common, **row.data),
    "StoppedEarly": lambda row, common: StoppedEarly(**common, **row.data),
    "SamplesGenerated": _samples_generated,
    "JobFinished": _job_finished,
}

EVENT_TYPES: Final = (
    StatusChanged,
    DataProgress,
    DataPrepared,
    StartedFrom,
    EngineChosen,
    Resumed,
    MemoryEstimated,
    TimeEstimated,
    ResourcesUsed,
    ProgressReported,
    EpochCompleted,
    CheckpointSaved,
    WarningRaised,
    StoppedEarly,
    SamplesGenerated,
    JobFinished,
)
"""Every type that stands behind the interface; the schema must name them."""
