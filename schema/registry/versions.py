"""Model versions: what jobs make."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias

import strawberry

from jobs.models import ModelVersion as VersionRow
from jobs.pages import Page
from jobs.registry import versions
from schema import ids
from schema.context import Info
from schema.enums import Role, VersionStatus
from schema.nodes import Failure, Node, Sample, failure, required
from schema.pagination import After, Connection, First, connection
from schema.permissions import Requires
from schema.problems import ConflictProblem, NotFoundProblem, NullIfNotFound
from schema.registry.evaluations import Evaluation
from schema.registry.exports import Export
from schema.runs.starts import StartPoint
from schema.runs.training_configs import TrainingConfig
from schema.runs.training_jobs import TrainingJob
from schema.scalars import BigInt
from training.config import TrainingConfig as StoredConfig
from training.events import TrainingResult

if TYPE_CHECKING:  # a model has versions and a version its model: a circle of types only
    from schema.registry.models import Model

__all__ = ["ModelVersion", "VersionMutations", "VersionQueries"]


@strawberry.type(description="A library that took part in training.")
class LibraryVersion:
    name: str = strawberry.field(description="The name of its package.")
    version: str = strawberry.field(description="Its release.")


@strawberry.type(
    description="How a version came about, in figures, and what it takes to make it again: with its job's "
    "dataset and its model, each named by a checksum, the config and these libraries."
)
class VersionMetadata:
    config: TrainingConfig = strawberry.field(description="The whole config of its run.")
    training_duration_seconds: float = strawberry.field(description="How long the run took.")
    epochs: int = strawberry.field(description="Epochs that were run.")
    best_epoch: int = strawberry.field(description="The epoch whose checkpoint this is.")
    stopped_early: bool = strawberry.field(description="Whether it ended before its last epoch.")
    loss: float = strawberry.field(
        description="Of the best epoch: over the rows held out, or the training rows if none were."
    )
    validation_accuracy: float | None = strawberry.field(
        description="Share of tokens foretold of the rows held out; null where none were."
    )
    trained_tokens: BigInt = strawberry.field(description="Tokens in one epoch that bear loss.")
    trainable_parameters: BigInt = strawberry.field(description="Parameters that were trained.")
    size_bytes: BigInt = strawberry.field(description="The size of its files.")
    adapter: bool = strawberry.field(
        description="Whether it is an adapter beside its base rather than a whole model."
    )
    libraries: list[LibraryVersion] = strawberry.field(
        description="What it was trained with, by name."
    )

    @classmethod
    def of(cls, row: VersionRow) -> "VersionMetadata | None":
        result = _result(row)
        if result is None:
            return None
        held_out = result.validation_loss
        return cls(
            config=TrainingConfig.of(StoredConfig.model_validate(row.config)),
            training_duration_seconds=result.duration_seconds,
            epochs=result.final_epoch,
            best_epoch=result.best_epoch,
            stopped_early=result.stopped_early,
            loss=result.training_loss if held_out is None else held_out,
            validation_accuracy=result.validation_accuracy,
            trained_tokens=BigInt(result.trained_tokens),
            trainable_parameters=BigInt(result.trainable_parameters),
            size_bytes=BigInt(result.size_bytes),
            adapter=result.adapter,
            libraries=[
                LibraryVersion(name=name, version=version)
                for name, version in sorted(result.libraries.items())
            ],
        )


@strawberry.type(
    description="A trained model, or one that a job still trains: TRAINING from the moment when a worker "
    "first takes the job, and FAILED if that does not complete."
)
class ModelVersion(Node):
    version: str = strawberry.field(description="Its name among the model's, such as v1.2.0.")
    status: VersionStatus = strawberry.field(description="Where it stands.")
    error: Failure | None = strawberry.field(
        description="Why it FAILED: its job's error, or JOB_CANCELLED."
    )
    accuracy: float | None = strawberry.field(
        description="Share of tokens foretold of the rows held out; null where none were, and unless it "
        "is trained."
    )
    training_date: datetime = strawberry.field(description="When its training began.")
    row: strawberry.Private[VersionRow]

    @classmethod
    def of(cls, row: VersionRow) -> "ModelVersion":
        return cls(
            id=ids.encode(ids.Kind.VERSION, row.id),
            version=row.version,
            status=row.status,
            error=failure(row.error),
            accuracy=row.accuracy,
            training_date=row.created_at,
            row=row,
        )

    @strawberry.field(description="Records that it was trained on; null unless it is trained.")
    def training_data_size(self) -> int | None:
        result = _result(self.row)
        return None if result is None else result.training_records

    @strawberry.field(
        description="How it came about, in figures; null unless it is trained. Its job has the config "
        "from the start."
    )
    def metadata(self) -> VersionMetadata | None:
        return VersionMetadata.of(self.row)

    @strawberry.field(
        description="The job's sample prompts, answered before and after; none unless it is trained."
    )
    def samples(self) -> list[Sample]:
        return [Sample.of(stored) for stored in self.row.samples]

    @strawberry.field(description="The base model that it was trained from.")
    async def model(
        self, info: Info
    ) -> Annotated["Model", strawberry.lazy("schema.registry.models")]:
        return required(await info.context.loaders.models.load(self.row.model_id))

    @strawberry.field(description="The job that makes or made it.")
    async def job(self, info: Info) -> TrainingJob:
        return required(await info.context.loaders.jobs.load(self.row.job_id))

    @strawberry.field(
        description="What its run started from; null for the base model's own weights."
    )
    async def started_from(self, info: Info) -> StartPoint | None:
        return StartPoint.of((await self.job(info)).row)

    @strawberry.field(
        description="How long its newest answers took, the median of at most 50, in milliseconds; loading "
        "is left out. Null where it has given none."
    )
    async def response_time_ms(self, info: Info) -> float | None:
        seconds = await info.context.loaders.latencies.load(self.row.id)
        return None if seconds is None else 1000 * seconds

    @strawberry.field(description="What was measured of it on test records, newest first.")
    async def evaluations(self, info: Info) -> list[Evaluation]:
        return await info.context.loaders.evaluations.load(self.row.id)

    @strawberry.field(description="Its exports, newest first.")
    async def exports(self, info: Info) -> list[Export]:
        return await info.context.loaders.exports.load(self.row.id)


def _result(row: VersionRow) -> TrainingResult | None:
    return None if row.result is None else TrainingResult.model_validate(row.result)


@strawberry.type(description="What the deletion of a version removed.")
class DeletedModelVersion:
    id: strawberry.ID = strawberry.field(description="The id that the version had.")
    deleted_exports: int = strawberry.field(description="How many exports went with it.")
    freed_bytes: BigInt = strawberry.field(description="Bytes of files removed.")


DeleteModelVersionResult: TypeAlias = Annotated[
    DeletedModelVersion | ConflictProblem | NotFoundProblem,
    strawberry.union(
        "DeleteModelVersionResult", description="What was removed, or why nothing was."
    ),
]
VersionId: TypeAlias = Annotated[strawberry.ID, strawberry.argument(description="A version's id.")]


@strawberry.type
class VersionQueries:
    @strawberry.field(
        description="One version; null where there is none that you may see.",
        extensions=[Requires(Role.VIEWER), NullIfNotFound()],
    )
    async def get_model_version(
        self,
        info: Info,
        version_id: Annotated[
            strawberry.ID, strawberry.argument(name="id", description="A version's id.")
        ],
    ) -> ModelVersion | None:
        key = ids.decode(ids.Kind.VERSION, version_id)
        return ModelVersion.of(await versions.get(info.context.viewer, key))

    @strawberry.field(
        description="Those versions of a model that you may see, newest first.",
        extensions=[Requires(Role.VIEWER)],
    )
    async def list_model_versions(
        self,
        info: Info,
        model_name: Annotated[str, strawberry.argument(description="The model's name.")],
        status: Annotated[
            VersionStatus | None, strawberry.argument(description="Only those that stand there.")
        ] = None,
        first: First = 20,
        after: After = None,
    ) -> Connection[ModelVersion]:
        page = Page.of(first, after)
        rows = await versions.listing(info.context.viewer, model_name, page, status=status)
        return connection(rows, ModelVersion.of, after=after)


@strawberry.type
class VersionMutations:
    @strawberry.mutation(
        description="Delete a version with its files and exports. Refused for the ACTIVE one, while it is "
        "TRAINING, and while unfinished jobs start from it. The job that made it stays.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def delete_model_version(
        self, info: Info, model_version_id: VersionId
    ) -> DeleteModelVersionResult:
        deleted = await versions.delete(
            info.context.viewer,
            ids.decode(ids.Kind.VERSION, model_version_id),
            artifacts=info.context.service.artifacts,
        )
        return DeletedModelVersion(
            id=model_version_id,
            deleted_exports=deleted.exports,
            freed_bytes=BigInt(deleted.freed_bytes),
        )
