"""Versions: found, listed, compared and deleted.

One is there while its job still makes it; what needs its files or figures asks for `trained` ones.
"""

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
from jobs.status import ENDED, TRAINED, VersionStatus
from training.findings import PATHS

__all__ = [
    "Comparison",
    "Deleted",
    "Difference",
    "compare",
    "delete",
    "folder",
    "get",
    "listing",
    "refusal",
    "trained",
]

STAYING = (VersionStatus.ACTIVE, VersionStatus.TRAINING)
"""A version is not deleted in one of these."""
_CHOOSE_TRAINED = "Choose one that is READY, ACTIVE or DEPRECATED."


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


async def listing(
    viewer: Viewer, model_name: str, page: Page, *, status: VersionStatus | None = None
) -> Slice[ModelVersion]:
    """Those versions of a model that the viewer may see, or of these one status, newest first.
    NotFound for the model."""
    model = await base_models.find(viewer, model_name)
    rows = ModelVersion.filter(model_id=model.id)
    rows = rows if status is None else rows.filter(status=status)
    return await newest_first(visible(viewer, rows), page)


async def get(viewer: Viewer, version_id: UUID) -> ModelVersion:
    """A version that the viewer may see; NotFound otherwise."""
    version = await visible(viewer, ModelVersion.filter(id=version_id)).first()
    if version is None:
        raise NotFound("model version", version_id)
    return version


async def trained(viewer: Viewer, version_id: UUID) -> ModelVersion:
    """A version that has files and figures; NotFound, Conflict while it is TRAINING or where it
    FAILED."""
    version = await get(viewer, version_id)
    refused = refusal(version)
    if refused is not None:
        raise refused
    return version


def refusal(version: ModelVersion) -> Conflict | None:
    """Why nothing can be done with a version; None where it is trained."""
    if version.status in TRAINED:
        return None
    if version.status is VersionStatus.TRAINING:
        return InUse(
            f"Version {version.version} is still TRAINING.",
            "Wait until its job is COMPLETED.",
            [version.job_id],
        )
    why = (version.error or {}).get("message", "")
    return Conflict(
        f"Version {version.version} has FAILED, so there is no model. {why}".strip(),
        _CHOOSE_TRAINED,
    )


def folder(version: ModelVersion, artifacts: Artifacts) -> Path:
    """Where the model of a version lies; Conflict where there is none."""
    if version.path is None:
        raise Conflict(
            f"Version {version.version} is {version.status} and has no files.", _CHOOSE_TRAINED
        )
    return artifacts.resolve(version.path)


async def delete(viewer: Viewer, version_id: UUID, *, artifacts: Artifacts) -> Deleted:
    """Delete a version with its files, exports and evaluations; the job that made it stays, with its figures.

    NotFound; Conflict for the ACTIVE one; InUse, naming them, while a job still makes it or unfinished
    jobs start from it.
    """
    version = await get(viewer, version_id)
    async with transaction():
        rows = ModelVersion.filter(id=version.id, status__not_in=STAYING)
        if not await rows.update(job_id=version.job_id):  # holds the row: nobody starts from it now
            await _refuse_staying(version)
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
        *([artifacts.resolve(version.path)] if version.path is not None else []),
        *(artifacts.export(each.id) for each in exports),
        *(artifacts.evaluation(each.id) for each in evaluations),
    ]
    freed = await asyncio.to_thread(_remove, folders, artifacts)
    return Deleted(version.id, exports=len(exports), freed_bytes=freed)


async def compare(viewer: Viewer, a: UUID, b: UUID) -> Comparison:
    """Two versions side by side, of one model or of two; NotFound, Conflict for one that is not
    trained."""
    first, second = await trained(viewer, a), await trained(viewer, b)
    jobs = {job.id: job for job in await TrainingJob.filter(id__in=[first.job_id, second.job_id])}
    hashes = {jobs[version.job_id].dataset_sha256 for version in (first, second)}
    return Comparison(
        first,
        second,
        differences=tuple(_differences(first.config, second.config)),
        same_data=len(hashes) == 1,
        same_rows=await same_rows(first, second),
    )


async def _refuse_staying(version: ModelVersion) -> None:
    now = await ModelVersion.get_or_none(id=version.id)
    if now is None:
        raise NotFound("model version", version.id)
    if now.status is VersionStatus.TRAINING:
        raise InUse(
            f"Version {now.version} is still TRAINING.",
            "Cancel its job first; what becomes of it then can be deleted.",
            [now.job_id],
        )
    raise Conflict(
        f"Version {now.version} is ACTIVE.", "Activate another one, or roll back, first."
    )


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
