"""A dataset deleted: its rows in one transaction, then its files."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from tortoise.expressions import Q

from jobs import audit
from jobs.access import Viewer
from jobs.artifacts import Artifacts
from jobs.data import datasets, derived, lineage
from jobs.database import transaction
from jobs.errors import InUse, NotFound
from jobs.models import Dataset, Evaluation, Examination, TokenExamination, TrainingJob
from jobs.status import ENDED, TaskStatus
from training.events import Failure

__all__ = ["Deleted", "delete"]


@dataclass(frozen=True)
class Deleted:
    """What a deletion removed."""

    id: UUID
    deleted_rows: int
    freed_bytes: int


async def delete(viewer: Viewer, dataset_id: UUID, *, artifacts: Artifacts) -> Deleted:
    """Delete a dataset and its files. InUse, naming the jobs, while an unfinished one needs it, and
    Conflict while another dataset is being made of it.

    One that is being made is made no further, and its upload stays. Finished jobs and their versions
    stay; they keep the dataset's name and hash, as do datasets that were derived from it.
    """
    dataset = await datasets.get(viewer, dataset_id)
    async with transaction():
        if not await Dataset.filter(id=dataset_id, deleting=False).update(deleting=True):
            raise NotFound("dataset", dataset_id)
        needed = Q(dataset_id=dataset_id) | Q(validation_dataset_id=dataset_id)
        jobs = TrainingJob.filter(needed, status__not_in=list(ENDED))
        active: list[UUID] = await jobs.values_list("id", flat=True)  # type: ignore[assignment]  # the stub lacks flat
        if active:
            raise InUse(
                f"The dataset {dataset.name!r} is needed by {len(active)} unfinished job(s).",
                "Cancel them or wait until they have ended.",
                active,
            )
        await derived.refuse_if_needed(dataset)
        await _fail_evaluations(dataset_id)
        await lineage.forget(dataset_id)
        examined = await Examination.filter(id=dataset_id).delete()
        rendered = TokenExamination.filter(dataset_id=dataset_id)
        looks: list[UUID] = await rendered.values_list("id", flat=True)  # type: ignore[assignment]  # as above
        await rendered.delete()
        await Dataset.filter(id=dataset_id).delete()
        await audit.record(viewer, "deleteDataset", dataset, dataset_id, name=dataset.name)
    freed = await asyncio.to_thread(_remove_files, dataset_id, looks, artifacts)
    return Deleted(dataset_id, deleted_rows=1 + examined + len(looks), freed_bytes=freed)


def _remove_files(dataset_id: UUID, looks: Sequence[UUID], artifacts: Artifacts) -> int:
    own = (artifacts.dataset, artifacts.examination, artifacts.download)
    folders = [*(folder(dataset_id) for folder in own), *map(artifacts.token_examination, looks)]
    return sum(map(artifacts.remove_in_use, folders))


async def _fail_evaluations(dataset_id: UUID) -> None:
    """Within the transaction: end what would still read the dataset."""
    unfinished = Evaluation.filter(
        dataset_id=dataset_id, status__in=(TaskStatus.QUEUED, TaskStatus.RUNNING)
    )
    gone = Failure(
        code="DATASET_DELETED",
        message="The test dataset was deleted before the evaluation was done.",
        remedy="Evaluate on another dataset.",
    )
    _ = await unfinished.update(
        status=TaskStatus.FAILED,
        error=gone.model_dump(mode="json"),
        worker_id=None,
        lease_expires_at=None,
    )
