"""Deleting checkpoints that nobody needs any more: rows in one transaction, then files.

Killed in between, files without a row are left; the next clean-up finds them by their folder.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tortoise.expressions import F

from jobs import audit
from jobs.access import Viewer
from jobs.artifacts import Artifacts
from jobs.database import transaction
from jobs.errors import Conflict, InUse, InvalidInput
from jobs.models import Checkpoint, TrainingJob
from jobs.runs import lifecycle
from jobs.status import ENDED, JobStatus
from training.locking import folder_lock
from training.steps.retention import best_names

__all__ = ["Cleaned", "clean_up"]

IDLE: tuple[JobStatus, ...] = (*sorted(ENDED), JobStatus.PAUSED)


@dataclass(frozen=True)
class Cleaned:
    """What a clean-up deleted, by name, and what it left, oldest first."""

    deleted: tuple[str, ...]
    freed_bytes: int
    kept: tuple[Checkpoint, ...]


async def clean_up(
    viewer: Viewer, job_id: UUID, keep_best: int, *, artifacts: Artifacts
) -> Cleaned:
    """Delete all checkpoints of a job that rests or has ended but the best so many, and the one
    that a PAUSED job goes on from.

    Raises InvalidInput, NotFound, Conflict while the job runs, and InUse, naming them, while
    unfinished jobs start from one that would go. Asked again it deletes what is left to delete.
    """
    if keep_best < 0:
        raise InvalidInput.at(
            ["keepBest"],
            f"keepBest is {keep_best}, but must be at least 0.",
            code="OUT_OF_RANGE",
            remedy="Say how many of the best to keep; 0 keeps none.",
        )
    _ = await lifecycle.get(viewer, job_id)
    await asyncio.to_thread(artifacts.checkpoints(job_id).mkdir, parents=True, exist_ok=True)
    with folder_lock(artifacts.job(job_id), wait_seconds=0) as acquired:
        if not acquired:
            raise Conflict("A process of the job is still at work.", "Ask again in a minute.")
        status, kept, doomed = await _forget(viewer, job_id, keep_best)
        spared = None if status is JobStatus.PAUSED else {row.name for row in kept}
        folder = artifacts.checkpoints(job_id)
        gone, freed = await asyncio.to_thread(_delete, folder, doomed, spared, artifacts)
    return Cleaned(tuple(sorted({*doomed, *gone})), freed, tuple(kept))


async def _forget(
    viewer: Viewer, job_id: UUID, keep_best: int
) -> tuple[JobStatus, list[Checkpoint], list[str]]:
    """Delete the rows; the job's state, the rows left, and the names of those deleted."""
    async with transaction():
        rows = TrainingJob.filter(id=job_id, status__in=IDLE)
        resting = await rows.update(crashes=F("crashes"))  # holds the row: none may resume it now
        job = await TrainingJob.get(id=job_id)
        if not resting:
            raise Conflict(
                f"The job is {job.status} and keeps its checkpoints in order itself.",
                "Wait until it has ended, or pause it.",
            )
        stored = await Checkpoint.filter(job_id=job_id).order_by("step", "id")
        names = set(best_names(stored, keep_best))
        if job.status is JobStatus.PAUSED:
            names.update(row.name for row in stored[-1:])
        doomed = [row for row in stored if row.name not in names]
        await Checkpoint.filter(id__in=[row.id for row in doomed]).delete()
        await _refuse_if_used(doomed)
        gone = [row.name for row in doomed]
        await audit.record(viewer, "cleanupCheckpoints", job, job.id, deleted=gone)
    return job.status, [row for row in stored if row.name in names], gone


async def _refuse_if_used(doomed: Collection[Checkpoint]) -> None:
    names = {row.id: row.name for row in doomed}
    jobs = await TrainingJob.filter(
        start_checkpoint_id__in=list(names), status__not_in=list(ENDED)
    ).order_by("created_at", "id")
    if jobs:
        used = sorted({names[job.start_checkpoint_id] for job in jobs if job.start_checkpoint_id})
        raise InUse(
            f"{len(jobs)} unfinished job(s) start from {', '.join(used)}.",
            "Cancel them, wait until they have ended, or keep more.",
            [job.id for job in jobs],
        )


def _delete(
    folder: Path, doomed: Collection[str], spared: Collection[str] | None, artifacts: Artifacts
) -> tuple[list[str], int]:
    """Delete these checkpoints, or where some are `spared`, all others; their names and bytes.

    Each is hidden first, so that no reader meets a half of it. What is hidden already was left by
    a clean-up, or a child, that was killed.
    """
    paths = [path for path in folder.iterdir() if path.is_dir()]
    gone = [path for path in paths if _goes(path.name, doomed, spared)]
    freed = 0
    for path in gone:
        hidden = path
        if not path.name.startswith("."):
            hidden = path.with_name(f".{path.name}.removed")
            freed += artifacts.remove(hidden)
            path.rename(hidden)
        freed += artifacts.remove(hidden)
    return [path.name for path in gone if not path.name.startswith(".")], freed


def _goes(name: str, doomed: Collection[str], spared: Collection[str] | None) -> bool:
    if name.startswith("."):
        return True
    return name in doomed if spared is None else name not in spared
