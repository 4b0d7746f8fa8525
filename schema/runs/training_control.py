"""Steering jobs: cancel, pause, resume, save a checkpoint, clean up."""

from typing import Annotated, TypeAlias

import strawberry

from jobs.runs import cleanup, control
from schema import ids
from schema.context import Info
from schema.enums import Role
from schema.permissions import Requires
from schema.problems import ConflictProblem, InvalidProblem, NotFoundProblem
from schema.runs.checkpoints import Checkpoint
from schema.runs.training_jobs import TrainingJob
from schema.scalars import BigInt

__all__ = ["ControlMutations", "JobId"]

JobId: TypeAlias = Annotated[strawberry.ID, strawberry.argument(description="A job's id.")]


@strawberry.type(description="What a clean-up deleted, and what it left.")
class CleanedCheckpoints:
    deleted: list[str] = strawberry.field(description="The names of the checkpoints deleted.")
    freed_bytes: BigInt = strawberry.field(description="Bytes of files removed.")
    kept: list[Checkpoint] = strawberry.field(description="The checkpoints left, in order.")

    @classmethod
    def of(cls, cleaned: cleanup.Cleaned) -> "CleanedCheckpoints":
        return cls(
            deleted=list(cleaned.deleted),
            freed_bytes=BigInt(cleaned.freed_bytes),
            kept=[Checkpoint.of(row) for row in cleaned.kept],
        )


CancelTrainingResult: TypeAlias = Annotated[
    TrainingJob | NotFoundProblem | ConflictProblem,
    strawberry.union("CancelTrainingResult", description="The job, or why it cannot be stopped."),
]
PauseTrainingResult: TypeAlias = Annotated[
    TrainingJob | NotFoundProblem | ConflictProblem,
    strawberry.union("PauseTrainingResult", description="The job, or why it cannot be paused."),
]
ResumeTrainingResult: TypeAlias = Annotated[
    TrainingJob | NotFoundProblem | ConflictProblem,
    strawberry.union("ResumeTrainingResult", description="The job, or why it cannot go on."),
]
SaveCheckpointResult: TypeAlias = Annotated[
    TrainingJob | NotFoundProblem | ConflictProblem,
    strawberry.union("SaveCheckpointResult", description="The job, or why it cannot save one."),
]
CleanupCheckpointsResult: TypeAlias = Annotated[
    CleanedCheckpoints | InvalidProblem | NotFoundProblem | ConflictProblem,
    strawberry.union(
        "CleanupCheckpointsResult", description="What was deleted, or why nothing was."
    ),
]


@strawberry.type
class ControlMutations:
    @strawberry.mutation(
        description="Stop a job. One that runs saves a checkpoint first, and is CANCELLING so long.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def cancel_training(self, info: Info, job_id: JobId) -> CancelTrainingResult:
        key, queue = ids.decode(ids.Kind.JOB, job_id), info.context.service.queue
        return TrainingJob.of(await control.cancel(info.context.viewer, key, queue=queue))

    @strawberry.mutation(
        description="Let a job rest until it is resumed. One that runs saves a checkpoint first, "
        "and is PAUSING so long.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def pause_training(self, info: Info, job_id: JobId) -> PauseTrainingResult:
        key, queue = ids.decode(ids.Kind.JOB, job_id), info.context.service.queue
        return TrainingJob.of(await control.pause(info.context.viewer, key, queue=queue))

    @strawberry.mutation(
        description="Put a PAUSED job back into the queue. It goes on from its newest checkpoint, "
        "to the very weights that it would have had.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def resume_training(self, info: Info, job_id: JobId) -> ResumeTrainingResult:
        key, queue = ids.decode(ids.Kind.JOB, job_id), info.context.service.queue
        return TrainingJob.of(await control.resume(info.context.viewer, key, queue=queue))

    @strawberry.mutation(
        description="Ask a running job for a checkpoint after the step under way. It goes on; the "
        "event CheckpointSaved tells when it is there. It stays until cleanupCheckpoints.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def save_checkpoint(self, info: Info, job_id: JobId) -> SaveCheckpointResult:
        key = ids.decode(ids.Kind.JOB, job_id)
        return TrainingJob.of(await control.save_checkpoint(info.context.viewer, key))

    @strawberry.mutation(
        description="Delete the checkpoints of a job that has ended or is PAUSED, but the best so "
        "many and the one that a PAUSED job goes on from.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def cleanup_checkpoints(
        self,
        info: Info,
        job_id: JobId,
        keep_best: Annotated[
            int, strawberry.argument(description="How many of the best stay; 0 for none.")
        ],
    ) -> CleanupCheckpointsResult:
        key, artifacts = ids.decode(ids.Kind.JOB, job_id), info.context.service.artifacts
        cleaned = await cleanup.clean_up(info.context.viewer, key, keep_best, artifacts=artifacts)
        return CleanedCheckpoints.of(cleaned)
