"""Who works on what: claims, heartbeats, releases, and the ends of a training job.

Each is one compare-and-swap, so a message delivered twice or a worker that comes back from the dead
changes nothing.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from tortoise.expressions import F

from jobs.database import transaction
from jobs.errors import Conflict, LeaseLost, NotFound
from jobs.models import TrainingJob
from jobs.registry import making
from jobs.runs.history import Entry, Lease, finished, move
from jobs.status import JobStatus
from training.events import Failure, TrainingResult

__all__ = [
    "IDLE",
    "Beat",
    "beat",
    "claim",
    "complete",
    "end",
    "lease_end",
    "pass_on_save",
    "pause",
    "release",
]


IDLE: Final = {
    "worker_id": None,
    "lease_expires_at": None,
    "tokens_per_second": None,
    "estimated_time_remaining": None,
}
"""The columns of a job that no worker holds."""


class Beat(NamedTuple):
    """What a worker learns of its job when it renews the lease."""

    status: JobStatus
    save_asked: int | None
    """The number of the newest request for a checkpoint, if the child was not told of it yet."""


def lease_end(lease_seconds: float) -> datetime:
    """Until when a lease taken or renewed now holds."""
    return datetime.now(UTC) + timedelta(seconds=lease_seconds)


async def claim(job_id: UUID, worker_id: str, lease_seconds: float) -> TrainingJob | None:
    """Take a QUEUED job for this worker in a new attempt; null where somebody else has it."""
    waiting = await TrainingJob.get_or_none(id=job_id, status=JobStatus.QUEUED)
    if waiting is None:
        return None
    columns = {
        "worker_id": worker_id,
        "lease_expires_at": lease_end(lease_seconds),
        "attempt": F("attempt") + 1,
        "started_at": waiting.started_at or datetime.now(UTC),
    }
    try:
        return await move(job_id, JobStatus.PREPARING, reason="a worker took it", columns=columns)
    except (Conflict, NotFound):
        return None


async def beat(job_id: UUID, lease: Lease, lease_seconds: float) -> Beat:
    """Renew the lease; what the job's users want by now. LeaseLost where another worker has it."""
    rows = TrainingJob.filter(id=job_id, worker_id=lease.worker_id, attempt=lease.attempt)
    if not await rows.update(lease_expires_at=lease_end(lease_seconds)):
        raise LeaseLost(f"Job {job_id} is no longer held in attempt {lease.attempt}.")
    job = await TrainingJob.get(id=job_id)
    return Beat(job.status, job.saves_asked if job.saves_asked > job.saves_passed_on else None)


async def pass_on_save(job_id: UUID, lease: Lease, asked: int) -> None:
    """Note that the child has been told of all requests for a checkpoint up to this one."""
    rows = TrainingJob.filter(id=job_id, worker_id=lease.worker_id, attempt=lease.attempt)
    await rows.filter(saves_passed_on__lt=asked).update(saves_passed_on=asked)


async def release(
    job_id: UUID,
    lease: Lease | None,
    *,
    reason: str,
    crashed: bool,
    warning: Failure | None = None,
) -> int:
    """Give a job back to the queue, to be resumed by whoever takes it next; its newest seq."""
    columns = IDLE | {"queued_at": datetime.now(UTC), "crashes": F("crashes") + int(crashed)}
    job = await move(
        job_id, JobStatus.QUEUED, reason=reason, lease=lease, then=_told(warning), columns=columns
    )
    return int(job.last_seq)


async def pause(
    job_id: UUID, lease: Lease | None, *, reason: str, warning: Failure | None = None
) -> int:
    """PAUSED: no worker holds it, until its user resumes it; its newest seq.

    `warning` tells of a child that died instead of saving; that counts as a crash.
    """
    columns = IDLE | {"crashes": F("crashes") + int(warning is not None)}
    job = await move(
        job_id, JobStatus.PAUSED, reason=reason, lease=lease, then=_told(warning), columns=columns
    )
    return int(job.last_seq)


def _told(warning: Failure | None) -> list[Entry]:
    return [Entry("WarningRaised", warning.model_dump(mode="json"))] if warning else []


async def end(
    job_id: UUID,
    lease: Lease | None,
    to: JobStatus,
    *,
    reason: str,
    error: Failure | None = None,
) -> int:
    """FAILED or CANCELLED, with the last event of the job's history; its seq."""
    columns = _ended() | {"error": error.model_dump(mode="json") if error else None}
    then = [finished(to, error=error)]
    job = await move(job_id, to, reason=reason, lease=lease, then=then, columns=columns)
    return int(job.last_seq)


async def complete(job: TrainingJob, lease: Lease, result: TrainingResult, path: str) -> None:
    """COMPLETED, and its version READY: with the job's last event, all in one transaction.

    `path` is where the trained model lies, relative to the artifact root. LeaseLost where another
    worker has the job.
    """
    async with transaction():
        held = TrainingJob.filter(id=job.id, worker_id=lease.worker_id, attempt=lease.attempt)
        if not await held.update(crashes=F("crashes")):  # the job's row first, as every move does
            raise LeaseLost(f"Job {job.id} is no longer held in attempt {lease.attempt}.")
        version_id = await making.finish(job.id, result, path)
        columns = _ended() | {
            "progress": 100.0,
            "estimated_time_remaining": 0.0,
            "training_loss": result.training_loss,
            "training_accuracy": result.training_accuracy,
            "validation_loss": result.validation_loss,
            "validation_accuracy": result.validation_accuracy,
            "final_epoch": result.final_epoch,
            "stopped_early": result.stopped_early,
            "libraries": result.libraries,
        }
        last = finished(JobStatus.COMPLETED, version=version_id)
        _ = await move(
            job.id,
            JobStatus.COMPLETED,
            reason="trained",
            lease=lease,
            then=[last],
            columns=columns,
        )


def _ended() -> dict[str, object]:
    return {
        "finished_at": datetime.now(UTC),
        "worker_id": None,
        "lease_expires_at": None,
        "estimated_time_remaining": None,
    }
