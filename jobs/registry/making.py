"""The version that a job makes: numbered when a worker first takes the job, and ended with it.

Called inside the transaction that moves the job, whose row that transaction holds already: a version
never stands elsewhere than its job.
"""

from uuid import UUID

from tortoise.expressions import F
from tortoise.queryset import QuerySet

from jobs.errors import LeaseLost
from jobs.models import BaseModel, ModelVersion, TrainingJob
from jobs.status import JobStatus, VersionStatus
from training.events import Failure, TrainingResult

__all__ = ["finish", "follow"]


async def follow(job: TrainingJob) -> None:
    """Let the version of a job that has just moved stand where the job does.

    The first claim makes it, TRAINING; later ones go on with it, as a pause does. FAILED or CANCELLED
    is its end, too.
    """
    if job.status is JobStatus.PREPARING:
        await _begin(job)
    elif job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
        error = _CANCELLED if job.status is JobStatus.CANCELLED else job.error
        await _training(job.id).update(status=VersionStatus.FAILED, error=error)


async def finish(job_id: UUID, result: TrainingResult, path: str) -> UUID:
    """Make the version of a job that is being COMPLETED READY; its id.

    `path` is where it lies, relative to the artifact root. LeaseLost where it is not TRAINING, since
    then the job has ended.
    """
    job = await TrainingJob.get(id=job_id)
    made = await _training(job_id).update(
        status=VersionStatus.READY,
        accuracy=result.validation_accuracy,
        path=path,
        result=result.model_dump(mode="json"),
        samples=job.samples,
    )
    if not made:
        raise LeaseLost(f"Job {job_id} makes no version any more.")
    return (await ModelVersion.get(job_id=job_id)).id


async def _begin(job: TrainingJob) -> None:
    if await ModelVersion.exists(job_id=job.id):
        return
    counter = BaseModel.filter(id=job.model_id)
    await counter.update(version_counter=F("version_counter") + 1)
    number = (await BaseModel.get(id=job.model_id)).version_counter - 1
    _ = await ModelVersion.create(
        model_id=job.model_id,
        job_id=job.id,
        version=f"v1.{number}.0",
        status=VersionStatus.TRAINING,
        config=job.config,
        owner_id=job.owner_id,
    )


def _training(job_id: UUID) -> QuerySet[ModelVersion]:
    return ModelVersion.filter(job_id=job_id, status=VersionStatus.TRAINING)


_CANCELLED = Failure(
    code="JOB_CANCELLED",
    message="Its job was cancelled.",
    remedy="Start another run from one of the job's checkpoints.",
).model_dump(mode="json")
