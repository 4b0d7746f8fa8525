"""Steering a job that was submitted: cancel, pause, resume, save a checkpoint now.

Each answers at once: a job that a worker holds is asked through its row, where the worker looks
every second.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from tortoise.expressions import F

from jobs import audit
from jobs.access import Viewer
from jobs.database import transaction
from jobs.errors import Conflict
from jobs.models import TrainingJob
from jobs.queue import Queue, Work
from jobs.runs import lifecycle
from jobs.runs.history import finished, move
from jobs.status import ENDED, HELD, JobStatus

__all__ = ["cancel", "pause", "resume", "save_checkpoint"]

TRIES: Final = 3
"""How often a job is looked at anew because it moved between the look and the deed."""

STEPPING: Final = (JobStatus.PREPARING, JobStatus.TRAINING)
"""States in which a step is still to come, after which a checkpoint can be saved."""


async def cancel(viewer: Viewer, job_id: UUID, *, queue: Queue) -> TrainingJob:
    """Stop a job. One that no worker holds is CANCELLED at once; another is asked to save and leave.

    Asking again changes nothing. Raises Conflict for a job that has ended.
    """

    def aim(status: JobStatus) -> JobStatus:
        if status in ENDED:
            raise Conflict(f"The job is {status} already.", "There is nothing to cancel.")
        return JobStatus.CANCELLING if status in HELD else JobStatus.CANCELLED

    return await _steer(viewer, job_id, aim, queue)


async def pause(viewer: Viewer, job_id: UUID, *, queue: Queue) -> TrainingJob:
    """Let a job rest until it is resumed. A waiting one is PAUSED at once; a running one is asked to
    save a checkpoint and leave, and is PAUSING so long.

    Asking again changes nothing. Raises Conflict for a job that has ended or is being cancelled.
    """

    def aim(status: JobStatus) -> JobStatus:
        if status in ENDED or status is JobStatus.CANCELLING:
            raise Conflict(f"The job is {status}.", "Only a job that goes on can be paused.")
        return JobStatus.PAUSING if status in HELD else JobStatus.PAUSED

    return await _steer(viewer, job_id, aim, queue)


async def resume(viewer: Viewer, job_id: UUID, *, queue: Queue) -> TrainingJob:
    """Put a PAUSED job back into the queue; it goes on from its newest checkpoint.

    For a job that waits or runs already nothing changes. Raises Conflict for one that is still
    PAUSING, is being cancelled, or has ended.
    """

    def aim(status: JobStatus) -> JobStatus:
        if status is JobStatus.PAUSING:
            raise Conflict("The job is still PAUSING.", "Ask again once it is PAUSED.")
        if status in ENDED or status is JobStatus.CANCELLING:
            raise Conflict(
                f"The job is {status}, so it cannot be resumed.",
                "Start a new run from one of its checkpoints instead.",
            )
        return status if status in HELD else JobStatus.QUEUED

    job = await _steer(viewer, job_id, aim, queue)
    if job.status is JobStatus.QUEUED:
        await queue.enqueue(Work.TRAIN, job.id, attempt=job.attempt + 1)
    return job


async def save_checkpoint(viewer: Viewer, job_id: UUID) -> TrainingJob:
    """Ask a running job for a checkpoint at its next step boundary; it then goes on.

    CheckpointSaved tells when it lies on disk. What is asked while one is being written leads to
    another. Raises Conflict for a job that takes no step now.
    """
    _ = await lifecycle.get(viewer, job_id)
    async with transaction():
        rows = TrainingJob.filter(id=job_id, status__in=STEPPING)
        asked = await rows.update(saves_asked=F("saves_asked") + 1)
        job = await TrainingJob.get(id=job_id)
        if not asked:
            raise Conflict(
                f"The job is {job.status}, so there is no step to save.",
                "Ask while it is PREPARING or TRAINING.",
            )
        await audit.record(viewer, "saveCheckpoint", job, job.id)
    return job


async def _steer(
    viewer: Viewer, job_id: UUID, aim: Callable[[JobStatus], JobStatus], queue: Queue
) -> TrainingJob:
    """Move the job to where `aim` says from where it stands; where it stands there, leave it."""
    for _ in range(TRIES):
        job = await lifecycle.get(viewer, job_id)
        to = aim(job.status)
        if to is job.status:
            return job
        try:
            job = await _moved(viewer, job, to)
        except Conflict:  # a worker took or finished it between our look and our move
            continue
        await queue.publish(job_id, job.last_seq)
        return job
    raise Conflict("The job is changing hands this very moment.", "Ask again.")


_DEEDS: Final = {
    JobStatus.CANCELLING: ("cancelJob", "cancelled by its user"),
    JobStatus.CANCELLED: ("cancelJob", "cancelled by its user"),
    JobStatus.PAUSING: ("pauseJob", "paused by its user"),
    JobStatus.PAUSED: ("pauseJob", "paused by its user"),
    JobStatus.QUEUED: ("resumeJob", "resumed by its user"),
}
"""What the audit and the history call the move to a state."""


async def _moved(viewer: Viewer, job: TrainingJob, to: JobStatus) -> TrainingJob:
    action, reason = _DEEDS[to]
    columns: dict[str, object] = {}
    if to in ENDED:
        columns["finished_at"] = datetime.now(UTC)
    if to is JobStatus.QUEUED:
        columns["queued_at"] = datetime.now(UTC)
    async with transaction():
        await audit.record(viewer, action, job, job.id)
        then = [finished(to)] if to in ENDED else []
        return await move(job.id, to, reason=reason, then=then, columns=columns)
