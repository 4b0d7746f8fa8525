"""A job's events as the API sends them; `seq` numbers them from 1 without a gap."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from api.client.resources import MemoryEstimate, ResourceUsage
from api.client.results import EpochMetrics, Failure, Record, VersionReference
from jobs.status import JobStatus
from training.config import StartKind
from training.events import ComputePath

__all__ = [
    "Answer",
    "CheckpointSaved",
    "DataPrepared",
    "DataProgress",
    "EngineChosen",
    "EpochCompleted",
    "Event",
    "JobFinished",
    "MemoryEstimated",
    "ProgressReported",
    "ResourcesUsed",
    "Resumed",
    "SamplesGenerated",
    "StartedFrom",
    "StatusChanged",
    "StoppedEarly",
    "TimeEstimated",
    "WarningRaised",
    "parse",
]


class _Event(Record):
    seq: int
    at: datetime
    attempt: int


class StatusChanged(_Event):
    """The job came to stand elsewhere."""

    kind: Literal["StatusChanged"] = Field("StatusChanged", alias="__typename")
    before: JobStatus | None = Field(alias="from")
    to: JobStatus
    reason: str | None


class DataProgress(_Event):
    """Records are being tokenised; `progress` is 0 to 100."""

    kind: Literal["DataProgress"] = Field("DataProgress", alias="__typename")
    records: int
    progress: float


class DataPrepared(_Event):
    """The records were split and tokenised."""

    kind: Literal["DataPrepared"] = Field("DataPrepared", alias="__typename")
    dataset_records: int | None
    sampled_records: int | None
    training_records: int
    validation_records: int
    dropped_records: int
    truncated_records: int
    tokens: int
    trained_tokens: int
    total_steps: int
    leaked_records: int
    stratified_by: str | None
    tokens_reused: bool


class StartedFrom(_Event):
    """The run starts from trained weights."""

    kind: Literal["StartedFrom"] = Field("StartedFrom", alias="__typename")
    source: StartKind
    name: str


class EngineChosen(_Event):
    """How the run computes, and what spoke against the faster ways."""

    kind: Literal["EngineChosen"] = Field("EngineChosen", alias="__typename")
    path: ComputePath
    reason: str | None
    precision: str
    device: str
    lanes: int
    token_budget: int


class Resumed(_Event):
    """The run goes on from a checkpoint."""

    kind: Literal["Resumed"] = Field("Resumed", alias="__typename")
    checkpoint_name: str
    epoch: int
    step: int


class MemoryEstimated(_Event):
    """The memory that the run will need was told."""

    kind: Literal["MemoryEstimated"] = Field("MemoryEstimated", alias="__typename")
    memory: MemoryEstimate


class TimeEstimated(_Event):
    """The seconds that the attempt will take were told."""

    kind: Literal["TimeEstimated"] = Field("TimeEstimated", alias="__typename")
    seconds: float


class ResourcesUsed(_Event):
    """What the attempt needed was measured."""

    kind: Literal["ResourcesUsed"] = Field("ResourcesUsed", alias="__typename")
    usage: ResourceUsage


class ProgressReported(_Event):
    """A measurement in passing."""

    kind: Literal["ProgressReported"] = Field("ProgressReported", alias="__typename")
    progress: float
    epoch: int
    total_epochs: int
    step: int
    total_steps: int
    loss: float
    accuracy: float
    learning_rate: float
    gradient_norm: float | None
    tokens_per_second: float
    estimated_time_remaining: float | None


class EpochCompleted(_Event):
    """An epoch ended."""

    kind: Literal["EpochCompleted"] = Field("EpochCompleted", alias="__typename")
    metrics: EpochMetrics


class CheckpointSaved(_Event):
    """A checkpoint lies whole on disk."""

    kind: Literal["CheckpointSaved"] = Field("CheckpointSaved", alias="__typename")
    name: str
    epoch: int
    step: int
    validation_loss: float | None
    size_bytes: int
    best: bool
    requested: bool = False


class WarningRaised(_Event):
    """Something to know, though the run goes on."""

    kind: Literal["WarningRaised"] = Field("WarningRaised", alias="__typename")
    code: str
    message: str
    remedy: str | None


class StoppedEarly(_Event):
    """The validation loss stopped falling."""

    kind: Literal["StoppedEarly"] = Field("StoppedEarly", alias="__typename")
    epoch: int
    best_epoch: int


class Answer(Record):
    """A prompt and what one model answered."""

    prompt: str
    answer: str


class SamplesGenerated(_Event):
    """The sample prompts were answered."""

    kind: Literal["SamplesGenerated"] = Field("SamplesGenerated", alias="__typename")
    stage: Literal["BEFORE", "AFTER"]
    samples: tuple[Answer, ...]


class JobFinished(_Event):
    """The job ended; no event follows."""

    kind: Literal["JobFinished"] = Field("JobFinished", alias="__typename")
    status: JobStatus
    error: Failure | None
    model_version: VersionReference | None


Event = (
    StatusChanged
    | DataProgress
    | DataPrepared
    | StartedFrom
    | EngineChosen
    | Resumed
    | MemoryEstimated
    | TimeEstimated
    | ResourcesUsed
    | ProgressReported
    | EpochCompleted
    | CheckpointSaved
    | WarningRaised
    | StoppedEarly
    | SamplesGenerated
    | JobFinished
)

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def parse(answer: object) -> Event:
    """The event in one answer of the subscription; pydantic's `ValidationError` for another."""
    return _ADAPTER.validate_python(answer)
