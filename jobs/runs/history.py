"""Writing a job's history: every change of state and its events in one short transaction.

Events are numbered by the job's own row, which the transaction updates first and so holds: two
writers cannot take the same number, and numbers are committed in order, without a gap.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tortoise.expressions import F

from jobs.database import transaction
from jobs.errors import Conflict, LeaseLost, NotFound
from jobs.models import JobEvent, TrainingJob
from jobs.registry import making
from jobs.status import ENDED, MOVES, JobStatus
from training.events import Failure

__all__ = ["JOB_FINISHED", "STATUS_CHANGED", "Entry", "Lease", "append", "finished", "move"]

STATUS_CHANGED = "StatusChanged"
JOB_FINISHED = "JobFinished"
RACES = 20
"""How often a lost race is run again before giving up; each loss means that another has moved."""


@dataclass(frozen=True)
class Entry:
    """One event to be written."""

    kind: str
    data: dict[str, Any] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Lease:
    """Proof that a worker holds a row, in this attempt and no other."""

    worker_id: str
    attempt: int


async def move(
    job_id: UUID,
    to: JobStatus,
    *,
    reason: str | None = None,
    lease: Lease | None = None,
    then: Sequence[Entry] = (),
    columns: dict[str, Any] | None = None,
) -> TrainingJob:
    """Move a job by compare-and-swap, with its StatusChanged event, those of `then`, and its version.

    Call it inside a transaction to add rows to the same deed, but only after that transaction's
    first write: SQLite refuses to turn a reader into a writer beside another. Raises Conflict where the move is
    not legal from the present state, LeaseLost where `lease` no longer holds, NotFound.
    """
    for _ in range(RACES):
        job = await TrainingJob.get_or_none(id=job_id)
        if job is None:
            raise NotFound("job", job_id)
        if lease is not None and (job.worker_id, job.attempt) != (lease.worker_id, lease.attempt):
            raise LeaseLost(f"Job {job_id} is held by {job.worker_id} in attempt {job.attempt}.")
        if to not in MOVES[job.status]:
            raise Conflict(f"The job is {job.status}, so it cannot become {to}.")
        async with transaction():
            rows = TrainingJob.filter(id=job_id, status=job.status, attempt=job.attempt)
            if await rows.update(status=to, **(columns or {})):
                entry = Entry(STATUS_CHANGED, {"from": job.status, "to": to, "reason": reason})
                await append(job_id, [entry, *then])
                moved = await TrainingJob.get(id=job_id)
                await making.follow(moved)
                return moved
    raise Conflict("The job changes faster than it can be moved.", "Try again.")


async def append(job_id: UUID, entries: Sequence[Entry]) -> int:
    """Number and write events inside the caller's transaction; the newest number."""
    if not entries:
        return 0
    await TrainingJob.filter(id=job_id).update(last_seq=F("last_seq") + len(entries))
    job = await TrainingJob.get(id=job_id)
    first = job.last_seq - len(entries) + 1
    await JobEvent.bulk_create(
        [
            JobEvent(
                job_id=job_id,
                seq=first + index,
                attempt=job.attempt,
                kind=entry.kind,
                at=entry.at,
                data=entry.data,
            )
            for index, entry in enumerate(entries)
        ]
    )
    return int(job.last_seq)


def finished(
    status: JobStatus, *, error: Failure | None = None, version: UUID | None = None
) -> Entry:
    """The last event of a job's history."""
    if status not in ENDED:
        raise ValueError(f"{status} is not an end")
    return Entry(
        JOB_FINISHED,
        {
            "status": status,
            "error": error.model_dump(mode="json") if error else None,
            "version_id": str(version) if version else None,
        },
    )
