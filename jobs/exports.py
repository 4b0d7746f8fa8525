"""Exports: asked for here, made by a child process, offered only once proven."""

from pathlib import Path
from uuid import UUID

from jobs import audit, registry
from jobs.access import Viewer, visible
from jobs.artifacts import Artifacts
from jobs.database import transaction
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.models import Export
from jobs.queue import Queue, Work
from jobs.status import TaskStatus
from training.events import TrainingResult
from training.export.spec import ExportFormat, ExportResult

__all__ = ["file_path", "get", "of_version", "request"]


async def request(
    viewer: Viewer,
    version_id: UUID,
    *,
    format: ExportFormat,  # noqa: A002  # the field's own name everywhere else
    adapter_only: bool,
    queue: Queue,
) -> Export:
    """Queue an export. NotFound for the version, InvalidInput where there is no adapter."""
    version = await registry.get_version(viewer, version_id)
    if adapter_only and not TrainingResult.model_validate(version.result).adapter:
        raise InvalidInput.at(
            ["adapterOnly"],
            f"Version {version.version} was trained whole and has no adapter.",
            code="NO_ADAPTER",
            remedy="Leave adapterOnly out.",
        )
    async with transaction():
        export = await Export.create(
            version_id=version.id,
            format=format,
            adapter_only=adapter_only,
            owner_id=viewer.user_id,
        )
        await audit.record(viewer, "exportModel", export, export.id, format=format)
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
