"""What a run starts from, where that is not its base model."""

from typing import TYPE_CHECKING, Annotated, TypeAlias

import strawberry

from jobs.models import TrainingJob as JobRow
from jobs.runs.starts import StartRequest
from schema import ids
from schema.context import Info
from schema.enums import StartKind
from schema.runs.checkpoints import Checkpoint

if TYPE_CHECKING:  # a job has a start and a start its job: a circle of types only
    from schema.registry.versions import ModelVersion
    from schema.runs.training_jobs import TrainingJob

__all__ = ["StartFromInput", "StartPoint"]

JobOfStart: TypeAlias = Annotated["TrainingJob", strawberry.lazy("schema.runs.training_jobs")]
VersionOfStart: TypeAlias = Annotated["ModelVersion", strawberry.lazy("schema.registry.versions")]


@strawberry.input(
    description="The trained weights that a run starts from, with an optimizer and a schedule of "
    "its own; exactly one is given. They must be of the run's model and method; options that "
    "decide their shape are taken over where they are left out.",
    one_of=True,
)
class StartFromInput:
    version_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="A model version."
    )
    checkpoint_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="A checkpoint of a job that has ended, or one that was asked for.",
    )

    def request(self) -> StartRequest:
        if self.version_id:
            return StartRequest(StartKind.VERSION, ids.decode(ids.Kind.VERSION, self.version_id))
        key = ids.decode(ids.Kind.CHECKPOINT, self.checkpoint_id or "")
        return StartRequest(StartKind.CHECKPOINT, key)


@strawberry.type(description="The trained weights that a run started from.")
class StartPoint:
    source: StartKind = strawberry.field(description="What they were taken from.")
    name: str = strawberry.field(
        description="The version's or the checkpoint's name, kept when it is deleted."
    )
    row: strawberry.Private[JobRow]

    @classmethod
    def of(cls, row: JobRow) -> "StartPoint | None":
        if row.start_job_id is None:
            return None
        source = StartKind.VERSION if row.start_version_id else StartKind.CHECKPOINT
        return cls(source=source, name=row.start_name or "", row=row)

    @strawberry.field(description="The version; null for a checkpoint.")
    async def version(self, info: Info) -> VersionOfStart | None:
        if self.row.start_version_id is None:
            return None
        return await info.context.loaders.versions.load(self.row.start_version_id)

    @strawberry.field(description="The checkpoint; null for a version, and once it was deleted.")
    async def checkpoint(self, info: Info) -> Checkpoint | None:
        if self.row.start_checkpoint_id is None:
            return None
        return await info.context.loaders.checkpoint.load(self.row.start_checkpoint_id)

    @strawberry.field(description="The job that trained them.")
    async def job(self, info: Info) -> JobOfStart | None:
        if self.row.start_job_id is None:
            return None
        return await info.context.loaders.jobs.load(self.row.start_job_id)
