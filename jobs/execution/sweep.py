"""The sweep: what dead workers and lost messages left is set going again, and old uploads go."""

import logging
from datetime import UTC, datetime

from jobs.artifacts import Artifacts
from jobs.data import hub_datasets, uploads
from jobs.errors import Conflict, LeaseLost
from jobs.execution.claims import end, pause, release
from jobs.execution.tasks import TABLES, requeue_lapsed
from jobs.models import TrainingJob
from jobs.queue import Queue, Work
from jobs.registry import generations
from jobs.runs.history import Lease
from jobs.settings import Settings
from jobs.status import HELD, JobStatus
from training.events import Failure

__all__ = ["sweep"]

logger = logging.getLogger(__name__)


async def sweep(settings: Settings, queue: Queue) -> None:
    """Free every lapsed lease, send a hint for every row that waits, and remove expired uploads.

    Any number of workers may do this at once: each change is a compare-and-swap, and a hint sent
    twice is worth one.
    """
    now = datetime.now(UTC)
    for job in await TrainingJob.filter(status__in=list(HELD), lease_expires_at__lt=now):
        try:
            seq = await _free(job, settings)
        except (Conflict, LeaseLost) as error:
            logger.info("job %s was faster than the sweep: %s", job.id, error)
        else:
            await queue.publish(job.id, seq)
    waiting = TrainingJob.filter(status=JobStatus.QUEUED).order_by("queued_at").limit(100)
    hints = [(Work.TRAIN, job.id, job.attempt + 1) for job in await waiting]
    for work in TABLES:
        rows = await requeue_lapsed(work, settings.max_crashes)
        hints += [(work, row_id, attempt) for row_id, attempt in rows]
    for work, row_id, attempt in hints:
        if not await queue.enqueue(work, row_id, attempt):
            break  # each would wait as long for a Redis that is away; workers look by themselves
    artifacts = Artifacts(settings.artifacts)
    await uploads.remove_expired(artifacts)
    await hub_datasets.remove_left(artifacts)
    await generations.remove_old(settings.answer_seconds)


async def _free(job: TrainingJob, settings: Settings) -> int:
    lease = Lease(job.worker_id or "", job.attempt)
    reason = f"its worker {job.worker_id} has not been heard of"
    if job.status is JobStatus.CANCELLING:
        return await end(job.id, lease, JobStatus.CANCELLED, reason=reason)
    if job.status is JobStatus.PAUSING:
        return await pause(job.id, lease, reason=reason)
    if job.crashes + 1 >= settings.max_crashes:
        error = Failure(
            code="WORKER_LOST",
            message=f"{job.crashes + 1} attempts ended with a dead worker or child process.",
            remedy="Look into the workers' logs and memory, and submit the job again.",
        )
        return await end(job.id, lease, JobStatus.FAILED, reason=reason, error=error)
    logger.warning("job %s: %s, it goes back to the queue", job.id, reason)
    return await release(job.id, lease, reason=reason, crashed=True)
