"""Training jobs: asked for, watched, steered."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias

import strawberry

from jobs.fleet import workers
from jobs.models import TrainingJob as JobRow
from jobs.runs import lifecycle
from schema import ids
from schema.accounts import User
from schema.context import Info
from schema.data.datasets import Dataset
from schema.data.validation_data import ValidationData
from schema.enums import JobStatus
from schema.nodes import Failure, Node, Sample, failure, required
from schema.runs.checkpoints import Checkpoint, EpochMetrics
from schema.runs.resources import ResourceEstimate, ResourceUsage
from schema.runs.starts import StartPoint
from schema.runs.training_configs import TrainingConfig
from training.config import TrainingConfig as StoredConfig

if TYPE_CHECKING:  # a job has a model and a model its jobs: a circle of types only
    from schema.registry.models import Model
    from schema.registry.versions import ModelVersion

__all__ = ["TrainingJob"]

ModelOfJob: TypeAlias = Annotated["Model", strawberry.lazy("schema.registry.models")]
VersionOfJob: TypeAlias = Annotated["ModelVersion", strawberry.lazy("schema.registry.versions")]


@strawberry.type(description="What a job has kept and how it ended, in short.")
class JobMetadata:
    checkpoints: int = strawberry.field(description="How many checkpoints are stored.")
    best_checkpoint: Checkpoint | None = strawberry.field(description="The best one so far.")
    stopped_early: bool = strawberry.field(description="Whether it ended before its last epoch.")
    final_epoch: int | None = strawberry.field(
        description="The last epoch that was run; null until the job has ended."
    )


@strawberry.type(description="What keeps a job waiting, for as long as it does.")
class Hindrance:
    code: str = strawberry.field(description="Stable, for programs.")
    message: str = strawberry.field(description="What is missing, with the value; for people.")
    remedy: str = strawberry.field(description="What to do about it.")


@strawberry.type(description="One training run that was asked for, over all its attempts.")
class TrainingJob(Node):
    dataset_name: str = strawberry.field(
        description="Its dataset's name, kept when the dataset is deleted."
    )
    dataset_sha256: str = strawberry.field(
        description="Of its dataset's records, kept when the dataset is deleted."
    )
    dataset_version: int = strawberry.field(
        description="Its dataset's number in its line of descent, kept when the dataset is deleted."
    )
    status: JobStatus = strawberry.field(description="Where it stands.")
    progress: float = strawberry.field(description="How far it is, 0 to 100.")
    current_epoch: int = strawberry.field(description="The epoch under way, from 1; 0 before.")
    total_epochs: int = strawberry.field(description="Epochs it was asked to run.")
    step: int = strawberry.field(description="Optimizer steps taken.")
    total_steps: int | None = strawberry.field(
        description="Optimizer steps in all; null until the data is prepared."
    )
    training_loss: float | None = strawberry.field(description="The newest measured.")
    training_accuracy: float | None = strawberry.field(
        description="The newest share of tokens foretold, 0 to 1."
    )
    validation_loss: float | None = strawberry.field(
        description="The newest over the rows held out."
    )
    validation_accuracy: float | None = strawberry.field(
        description="The newest share of tokens foretold of the rows held out."
    )
    tokens_per_second: float | None = strawberry.field(description="Its pace.")
    created_at: datetime = strawberry.field(description="When it was asked for.")
    started_at: datetime | None = strawberry.field(description="When a worker first took it.")
    finished_at: datetime | None = strawberry.field(description="When it ended.")
    estimated_time_remaining: float | None = strawberry.field(description="In seconds.")
    attempt: int = strawberry.field(
        description="How often a worker has taken it; above 1 it was resumed."
    )
    estimate: ResourceEstimate | None = strawberry.field(
        description="What its newest attempt was estimated to need; null until it was prepared."
    )
    usage: ResourceUsage | None = strawberry.field(
        description="What its newest attempt did need; null until that ended."
    )
    error: Failure | None = strawberry.field(description="Why it FAILED.")
    last_seq: int = strawberry.field(
        description="The number of its newest event, for `trainingEvents(afterSeq:)`."
    )
    row: strawberry.Private[JobRow]

    @classmethod
    def of(cls, row: JobRow) -> "TrainingJob":
        return cls(
            id=ids.encode(ids.Kind.JOB, row.id),
            dataset_name=row.dataset_name,
            dataset_sha256=row.dataset_sha256,
            dataset_version=row.dataset_version,
            status=row.status,
            progress=row.progress,
            current_epoch=row.current_epoch,
            total_epochs=row.total_epochs,
            step=row.step,
            total_steps=row.total_steps,
            training_loss=row.training_loss,
            training_accuracy=row.training_accuracy,
            validation_loss=row.validation_loss,
            validation_accuracy=row.validation_accuracy,
            tokens_per_second=row.tokens_per_second,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            estimated_time_remaining=row.estimated_time_remaining,
            attempt=row.attempt,
            estimate=ResourceEstimate.of(row.estimate) if row.estimate else None,
            usage=ResourceUsage.of(row.usage) if row.usage else None,
            error=failure(row.error),
            last_seq=row.last_seq,
            row=row,
        )

    @strawberry.field(description="The model that is trained.")
    async def model(self, info: Info) -> ModelOfJob:
        return required(await info.context.loaders.models.load(self.row.model_id))

    @strawberry.field(description="What it trains on; null once that was deleted.")
    async def dataset(self, info: Info) -> Dataset | None:
        if self.row.dataset_id is None:
            return None
        return await info.context.loaders.datasets.load(self.row.dataset_id)

    @strawberry.field(
        description="The dataset it tests with; null where it holds out a share of the other."
    )
    def validation_data(self) -> ValidationData | None:
        return ValidationData.of(self.row)

    @strawberry.field(description="Its whole config, with every default filled in.")
    def config(self) -> TrainingConfig:
        return TrainingConfig.of(StoredConfig.model_validate(self.row.config))

    @strawberry.field(description="Where it started; null for the base model's own weights.")
    def started_from(self) -> StartPoint | None:
        return StartPoint.of(self.row)

    @strawberry.field(description="What it has kept and how it ended, in short.")
    async def metadata(self, info: Info) -> JobMetadata:
        stored = await info.context.loaders.checkpoints.load(self.row.id)
        return JobMetadata(
            checkpoints=len(stored),
            best_checkpoint=next((each for each in stored if each.best), None),
            stopped_early=self.row.stopped_early,
            final_epoch=self.row.final_epoch,
        )

    @strawberry.field(description="Finished epochs, in order.")
    async def epochs(self, info: Info) -> list[EpochMetrics]:
        return await info.context.loaders.epochs.load(self.row.id)

    @strawberry.field(description="Stored checkpoints, in order.")
    async def checkpoints(self, info: Info) -> list[Checkpoint]:
        return await info.context.loaders.checkpoints.load(self.row.id)

    @strawberry.field(description="The sample prompts, answered before and after.")
    def samples(self) -> list[Sample]:
        return [Sample.of(stored) for stored in self.row.samples]

    @strawberry.field(description="Its place in the queue, from 1; null unless it is QUEUED.")
    async def queue_position(self) -> int | None:
        return await lifecycle.queue_position(self.row)

    @strawberry.field(
        description="Why no worker could take it, whatever its place in the queue: none that is there "
        "has its devices. Asked anew each time; null once one has, and unless it is QUEUED."
    )
    async def hindrance(self, info: Info) -> Hindrance | None:
        if self.row.status is not JobStatus.QUEUED:
            return None
        lease_seconds = info.context.service.settings.lease_seconds
        most = await info.context.loaders.most_devices.load(lease_seconds)
        found = workers.hindrance(self.row, most)
        return Hindrance(**found._asdict()) if found else None

    @strawberry.field(
        description="What it makes or made; null until a worker has taken it, and once that was deleted."
    )
    async def model_version(self, info: Info) -> VersionOfJob | None:
        return await info.context.loaders.version_of_job.load(self.row.id)

    @strawberry.field(description="Who asked for it.")
    async def owner(self, info: Info) -> User:
        return required(await info.context.loaders.users.load(self.row.owner_id))
