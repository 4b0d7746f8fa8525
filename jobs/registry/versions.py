"""Versions: found, listed, compared and deleted."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from jobs import audit
from jobs.access import Viewer, visible
from jobs.artifacts import Artifacts
from jobs.database import transaction
from jobs.errors import Conflict, InUse, NotFound
from jobs.models import Evaluation, Export, ModelVersion, TrainingJob
from jobs.pages import Page, Slice, newest_first
from jobs.registry import base_models
from jobs.registry.gates import same_rows
from jobs.status import ENDED, VersionStatus
from training.findings import PATHS

__all__ = ["Comparison", "Deleted", "Difference", "compare", "delete", "get", "listing"]


@dataclass(frozen=True)
class Deleted:
    """What a deletion removed."""

    id: UUID
    exports: int
    freed_bytes: int


@dataclass(frozen=True)
class Difference:
    """A field of the config in which two versions differ; its path by the API's names."""

    path: tuple[str, ...]
    a: object
    b: object


@dataclass(frozen=True)
class Comparison:
    """Two versions, in what their configs differ, and whether their figures can be compared."""

    a: ModelVersion
    b: ModelVersion
    differences: tuple[Difference, ...]
    same_data: bool
    """Whether both were trained on a dataset of the same content."""
    same_rows: bool
    """Whether the figures of both were measured on the same held-out rows."""


async def listing(viewer: Viewer, model_name: str, page: Page) -> Slice[ModelVersion]:
    """Those versions of a model that the viewer may see, newest first. NotFound for the model."""
    model = await base_models.find(viewer, model_name)
    return await newest_first(visible(viewer, ModelVersion.filter(model_id=model.id)), page)


async def get(viewer: Viewer, version_id: UUID) -> ModelVersion:
    """A version that the viewer may see; NotFound otherwise."""
    version = await visible(viewer, ModelVersion.filter(id=version_id)).first()
    if version is None:
        raise NotFound("model version", version_id)
    return version


async def delete(viewer: Viewer, version_id: UUID, *, artifacts: Artifacts) -> Deleted:
    """Delete a version with its files, exports and evaluations; the job that made it stays, with its figures.

    NotFound; Conflict for the ACTIVE one; InUse, naming them, while unfinished jobs start from it.
    """
    version = await get(viewer, version_id)
    async with transaction():
        rows = ModelVersion.filter(id=version.id, status__not=VersionStatus.ACTIVE)
        if not await rows.update(job_id=version.job_id):  # holds the row: nobody starts from it now
            await _refuse_active(version)
        await _refuse_if_used(version)
        exports = await Export.filter(version_id=version.id).only("id")
        evaluations = await Evaluation.filter(version_id=version.id).only("id")
        await Export.filter(version_id=version.id).delete()
        await Evaluation.filter(version_id=version.id).delete()
        await ModelVersion.filter(id=version.id).delete()
        await audit.record(
            viewer, "deleteModelVersion", version, version.id, version=version.version
        )
    folders = [
        artifacts.resolve(version.path),
        *(artifacts.export(each.id) for each in exports),
        *(artifacts.evaluation(each.id) for each in evaluations),
    ]
    freed = await asyncio.to_thread(_remove, folders, artifacts)
    return Deleted(version.id, exports=len(exports), freed_bytes=freed)


async def compare(viewer: Viewer, a: UUID, b: UUID) -> Comparison:
    """Two versions side by side, of one model or of two; NotFound."""
    first, second = await get(viewer, a), await get(viewer, b)
    jobs = {job.id: job for job in await TrainingJob.filter(id__in=[first.job_id, second.job_id])}
    hashes = {jobs[version.job_id].dataset_sha256 for version in (first, second)}
    return Comparison(
        first,
        second,
        differences=tuple(_differences(first.config, second.config)),
        same_data=len(hashes) == 1,
        same_rows=await same_rows(first, second),
    )


async def _refuse_active(version: ModelVersion) -> None:
    if await ModelVersion.exists(id=version.id):
        raise Conflict(
            f"Version {version.version} is ACTIVE.", "Activate another one, or roll back, first."
        )
    raise NotFound("model version", version.id)


async def _refuse_if_used(version: ModelVersion) -> None:
    jobs = await TrainingJob.filter(
        start_version_id=version.id, status__not_in=list(ENDED)
    ).order_by("created_at", "id")
    if jobs:
        raise InUse(
            f"{len(jobs)} unfinished job(s) start from version {version.version}.",
            "Cancel them or wait until they have ended.",
            [job.id for job in jobs],
        )


def _remove(folders: list[Path], artifacts: Artifacts) -> int:
    return sum(map(artifacts.remove_in_use, folders))


def _differences(a: Any, b: Any, path: tuple[str, ...] = ()) -> Iterator[Difference]:
    if isinstance(a, dict) and isinstance(b, dict):
        for name in {**a, **b}:
            yield from _differences(a.get(name), b.get(name), (*path, name))
    elif a != b:
        yield Difference(PATHS.get(".".join(path), path), a, b)
