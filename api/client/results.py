"""What the API answers, as far as the client asks for it. Field names and units are the API's."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from api.client.previews import CountedTokens, PreviewedRecord
from api.client.record import Record
from api.client.resources import (
    Hindrance,
    MemoryEstimate,
    ResourceEstimate,
    ResourceUsage,
    TimeEstimate,
)
from jobs.access import Role
from jobs.status import ENDED, JobStatus, TaskStatus, VersionStatus
from training.config import StartKind
from training.findings import Severity

__all__ = [
    "DroppedRecords",
    "EpochMetrics",
    "Failure",
    "Finding",
    "Job",
    "Model",
    "Page",
    "Record",
    "RecordsDropped",
    "Sample",
    "Session",
    "StartPoint",
    "User",
    "Validation",
    "ValidationData",
    "Version",
]

NodeT = TypeVar("NodeT")


class Page(Record, Generic[NodeT]):
    """A part of a list; `end_cursor` leads to the next part where there is one."""

    nodes: tuple[NodeT, ...]
    total_count: int
    has_next_page: bool
    end_cursor: str | None


class Failure(Record):
    """Why something failed, and what to do about it."""

    code: str
    message: str
    remedy: str | None = None


class Finding(Record):
    """One thing to know about an input."""

    severity: Severity = Severity.ERROR
    code: str
    path: tuple[str, ...]
    message: str
    remedy: str | None = None
    suggested_patch: dict[str, Any] | None = None


class User(Record):
    """An account."""

    id: str
    email: str
    role: Role


class Session(Record):
    """What proves who is asking. Without a refresh token it ends when the access token does."""

    access_token: str
    refresh_token: str | None = None
    expires_at: datetime | None = None


class Model(Record):
    """A registered base model; what its check found is null until it is READY."""

    id: str
    name: str
    source: str
    status: TaskStatus
    error: Failure | None
    architecture: str | None
    parameter_count: int | None
    context_length: int | None
    licence: str | None
    created_at: datetime


class Sample(Record):
    """A prompt, and what was answered before and after training."""

    prompt: str
    before: str | None
    after: str | None


class EpochMetrics(Record):
    """What was measured over one epoch. Accuracies are shares, 0 to 1."""

    epoch: int
    training_loss: float
    training_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    duration_seconds: float


class StartPoint(Record):
    """The trained weights that a run started from."""

    source: StartKind
    name: str


class VersionMetadata(Record):
    """The figures of the run that made a version."""

    loss: float
    validation_accuracy: float | None
    training_duration_seconds: float
    epochs: int
    best_epoch: int
    size_bytes: int
    adapter: bool
    trained_tokens: int
    trainable_parameters: int


class NamedJob(Record):
    """A job by its id."""

    id: str


class Version(Record):
    """A model version; without figures, unless it is trained."""

    id: str
    version: str
    status: VersionStatus
    error: Failure | None
    job: NamedJob
    accuracy: float | None
    training_date: datetime
    training_data_size: int | None
    metadata: VersionMetadata | None
    samples: tuple[Sample, ...]
    started_from: StartPoint | None


class NamedModel(Record):
    """A model by its name."""

    name: str


class VersionReference(Record):
    """A version by its number."""

    id: str
    version: str
    status: VersionStatus


class ValidationData(Record):
    """A dataset that a run tests with."""

    name: str
    sha256: str
    version: int


class Job(Record):
    """A training job as it stands. Times in seconds, progress 0 to 100."""

    id: str
    model: NamedModel
    dataset_name: str
    dataset_sha256: str
    dataset_version: int
    validation_data: ValidationData | None
    status: JobStatus
    progress: float
    current_epoch: int
    total_epochs: int
    step: int
    total_steps: int | None
    training_loss: float | None
    training_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    tokens_per_second: float | None
    estimated_time_remaining: float | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    queue_position: int | None
    hindrance: Hindrance | None
    last_seq: int
    estimate: ResourceEstimate | None
    usage: ResourceUsage | None
    error: Failure | None
    model_version: VersionReference | None
    started_from: StartPoint | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ENDED


class DroppedRecords(Record):
    """Records that a run would leave out for one reason; `lines` are the first of them."""

    code: str
    count: int
    lines: tuple[int, ...]
    validation_dataset: bool


class RecordsDropped(Record):
    """The records that a run would leave out."""

    count: int
    reasons: tuple[DroppedRecords, ...]


class Validation(Record):
    """What the server would say to a run, without starting it."""

    valid: bool
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    recommendations: tuple[Finding, ...]
    resolved: Mapping[str, Any] | None
    training_records: int | None
    validation_records: int | None
    steps: int | None
    tokens_trained: int | None
    records_dropped: RecordsDropped | None
    records_dropped_unknown: str | None
    near_leaks_unknown: str | None
    preview: tuple[PreviewedRecord, ...] | None
    token_examinations: tuple[CountedTokens, ...]
    memory: MemoryEstimate | None
    memory_unknown: str | None
    time: TimeEstimate | None
    time_unknown: str | None
