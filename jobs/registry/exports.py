"""Exports: asked for here, made by a child process, offered only once proven."""

from dataclasses import asdict
from pathlib import Path
from uuid import UUID

from jobs import audit
from jobs.access import Viewer, visible
from jobs.artifacts import Artifacts
from jobs.database import transaction
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.fleet import workers
from jobs.models import BaseModel, Export
from jobs.queue import Queue, Work
from jobs.registry import versions
from jobs.registry.export_findings import ExportRequest, findings, unavailable
from jobs.status import TaskStatus
from training.export.spec import ExportResult

__all__ = ["ExportRequest", "file_path", "get", "of_version", "request"]


async def request(
    viewer: Viewer, version_id: UUID, wanted: ExportRequest, *, queue: Queue, lease_seconds: float
) -> Export:
    """Queue an export. NotFound for the version, Conflict where it is not trained, InvalidInput for what
    the format does not do, or no worker that is there can write."""
    version = await versions.trained(viewer, version_id)
    found = list(findings(wanted, version, await BaseModel.get(id=version.model_id)))
    if await workers.none_can_write(wanted.format, lease_seconds):
        found.append(unavailable(wanted.format))
    if found:
        raise InvalidInput(" ".join(finding.message for finding in found), found)
    async with transaction():
        export = await Export.create(
            version_id=version.id, owner_id=viewer.user_id, **asdict(wanted)
        )
        await audit.record(viewer, "exportModel", export, export.id, format=wanted.format)
    await queue.enqueue(Work.EXPORT, export.id, attempt=1)
    return export


async def get(viewer: Viewer, export_id: UUID) -> Export:
    """An export that the viewer may see; NotFound otherwise."""
    export = await visible(viewer, Export.filter(id=export_id)).first()
    if export is None:
        raise NotFound("export", export_id)
    return export


async def of_version(viewer: Viewer, version_id: UUID) -> list[Export]:
    """The exports of a version that the viewer may see, newest first."""
    rows = visible(viewer, Export.filter(version_id=version_id))
    return await rows.order_by("-created_at", "-id")


def file_path(export: Export, name: str, artifacts: Artifacts) -> Path:
    """Where a file of a READY export lies. Conflict before that, NotFound for another name."""
    if export.status is not TaskStatus.READY or export.result is None:
        raise Conflict(f"The export is {export.status}.", "Wait until it is READY.")
    files = ExportResult.model_validate(export.result).files
    if name not in {file.name for file in files}:
        raise NotFound("file of this export", name)
    return artifacts.export(export.id) / "files" / name
