"""What a training run says while it works: one JSON line an event, in `events.jsonl`.

The file is the hand-over between the child process and whoever watches it: appended by the child,
read by byte offset by the watcher, so that neither a killed watcher nor a killed child loses a line.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from training.config import Frozen, StartKind
from training.estimates import MemoryEstimate


class Phase(StrEnum):
    """The three working phases of a run; the fourth is its end."""

    PREPARING = "PREPARING"
    TRAINING = "TRAINING"
    VALIDATING = "VALIDATING"


class Outcome(StrEnum):
    """How a run ended."""

    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


class ComputePath(StrEnum):
    """The ways of computing a model, fastest first."""

    FUSED = "FUSED"
    """Layers written out in both directions, rows packed."""
    PACKED = "PACKED"
    """The model's own layers, rows packed."""
    PADDED = "PADDED"
    """The model's own layers, rows padded to one length."""


class Failure(Frozen):
    """Why something failed: a stable code, a sentence with the value, and what to do about it."""

    code: str
    message: str
    remedy: str | None = None


class Sample(Frozen):
    """A prompt and what the model answered."""

    prompt: str
    answer: str


class _Event(Frozen):
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class PhaseStarted(_Event):
    """A phase began."""

    kind: Literal["PhaseStarted"] = "PhaseStarted"
    phase: Phase


class DataProgress(_Event):
    """Records are being tokenised, for the first time. `progress` is 0 to 100."""

    kind: Literal["DataProgress"] = "DataProgress"
    records: int
    progress: float


class DataPrepared(_Event):
    """The records were split and tokenised. `trained_tokens` counts those that bear loss.

    Of the `dataset_records` that there are, `sampled_records` were taken; both are None where an
    older version told the event. `leaked_records` were left out of one side because the other has
    them, too. `stratified_by` names what was taken for labels, None where nothing was.
    """

    kind: Literal["DataPrepared"] = "DataPrepared"
    dataset_records: int | None = None
    sampled_records: int | None = None
    training_records: int
    validation_records: int
    dropped_records: int
    truncated_records: int
    tokens: int
    trained_tokens: int
    total_steps: int
    leaked_records: int = 0
    stratified_by: str | None = None
    tokens_reused: bool = False
    """Whether the records had been tokenised before, for a run with the same tokenizer."""


class StartedFrom(_Event):
    """The run starts from trained weights instead of the base model's own."""

    kind: Literal["StartedFrom"] = "StartedFrom"
    source: StartKind
    name: str


class EngineChosen(_Event):
    """How the run computes. `reason` says what spoke against the faster ways."""

    kind: Literal["EngineChosen"] = "EngineChosen"
    path: ComputePath
    reason: str | None
    precision: str
    """The element type computed in, by torch's name."""
    device: str
    lanes: int
    """Micro-batches computed at the same time."""
    token_budget: int
    """Tokens that these hold together, at most."""


class Resumed(_Event):
    """The run goes on from a checkpoint instead of from the start."""

    kind: Literal["Resumed"] = "Resumed"
    checkpoint: str
    epoch: int
    step: int


class MemoryEstimated(_Event):
    """The memory that the run will need was told, before its first step."""

    kind: Literal["MemoryEstimated"] = "MemoryEstimated"
    memory: MemoryEstimate


class TimeEstimated(_Event):
    """The seconds that this attempt will take, from its process's start to its end, were told from
    the pace of its first steps."""

    kind: Literal["TimeEstimated"] = "TimeEstimated"
    seconds: float


class ResourcesUsed(_Event):
    """What this attempt did need: the most memory it held, and the seconds it took until now."""

    kind: Literal["ResourcesUsed"] = "ResourcesUsed"
    peak_memory_bytes: int
    seconds: float


class Progress(_Event):
    """A measurement in passing. `progress` is 0 to 100; `epoch` counts from 1; times in seconds."""

    kind: Literal["Progress"] = "Progress"
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
    """An epoch's token-weighted means over its training rows and over the validation rows."""

    kind: Literal["EpochCompleted"] = "EpochCompleted"
    epoch: int
    training_loss: float
    training_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    duration_seconds: float


class CheckpointSaved(_Event):
    """A checkpoint lies whole on disk. `removed` names those that retention deleted for it."""

    kind: Literal["CheckpointSaved"] = "CheckpointSaved"
    name: str
    epoch: int
    step: int
    validation_loss: float | None
    validation_accuracy: float | None
    size_bytes: int
    best: bool
    removed: tuple[str, ...] = ()
    score: float | None = None
    """The loss it is judged by; None for one saved amid an epoch."""
    requested: bool = False
    """Whether somebody asked for it, so that retention leaves it alone."""


class WarningRaised(_Event):
    """Something the user must know, though the run goes on."""

    kind: Literal["WarningRaised"] = "WarningRaised"
    code: str
    message: str
    remedy: str | None = None


class StoppedEarly(_Event):
    """Validation loss stopped falling; the best checkpoint, of `best_epoch`, is kept."""

    kind: Literal["StoppedEarly"] = "StoppedEarly"
    epoch: int
    best_epoch: int


class SamplesGenerated(_Event):
    """The sample prompts were answered, by the base model or by the trained one."""

    kind: Literal["SamplesGenerated"] = "SamplesGenerated"
    stage: Literal["BEFORE", "AFTER"]
    samples: tuple[Sample, ...]


class TrainingResult(Frozen):
    """The trained model, in the job folder's `model/`, and the figures that describe it."""

    adapter: bool
    """True where `model/` holds a LoRA adapter rather than whole weights."""
    best_epoch: int
    final_epoch: int
    stopped_early: bool
    training_loss: float
    training_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    training_records: int
    trained_tokens: int
    trainable_parameters: int
    duration_seconds: float
    size_bytes: int
    libraries: dict[str, str]


class Finished(_Event):
    """The last line of a run. `error` is set where it failed, `result` where it completed."""

    kind: Literal["Finished"] = "Finished"
    outcome: Outcome
    error: Failure | None = None
    result: TrainingResult | None = None


Event = (
    PhaseStarted
    | DataProgress
    | DataPrepared
    | StartedFrom
    | EngineChosen
    | Resumed
    | MemoryEstimated
    | TimeEstimated
    | ResourcesUsed
    | Progress
    | EpochCompleted
    | CheckpointSaved
    | WarningRaised
    | StoppedEarly
    | SamplesGenerated
    | Finished
)

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def parse(line: bytes) -> Event:
    """The event that one line of `events.jsonl` holds.

    Raises pydantic's `ValidationError` on a line that no version of this module wrote.
    """
    return _ADAPTER.validate_json(line)


def serialise(event: Event) -> bytes:
    """One line, newline included."""
    return event.model_dump_json().encode() + b"\n"
