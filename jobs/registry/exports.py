"""Exports: asked for here, made by a child process, offered only once proven."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from jobs import audit
from jobs.access import Viewer, visible
from jobs.artifacts import Artifacts
from jobs.database import transaction
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.models import Export
from jobs.queue import Queue, Work
from jobs.registry import versions
from jobs.status import TaskStatus
from training.events import TrainingResult
from training.export.spec import (
    ADAPTER_FORMATS,
    LEAST_SHARD_BYTES,
    SHARDED_FORMATS,
    WEIGHT_TYPES,
    ExportFormat,
    ExportResult,
    WeightType,
)
from training.findings import Finding, Severity

__all__ = ["ExportRequest", "file_path", "get", "of_version", "request"]


@dataclass(frozen=True)
class ExportRequest:
    """What somebody wants of a version; None for what the format does by itself."""

    format: ExportFormat
    adapter_only: bool = False
    weight_type: WeightType | None = None
    shard_bytes: int | None = None


async def request(
    viewer: Viewer, version_id: UUID, wanted: ExportRequest, *, queue: Queue
) -> Export:
    """Queue an export. NotFound for the version, Conflict where it is not trained, InvalidInput for
    what the format does not do."""
    version = await versions.trained(viewer, version_id)
    found = list(_findings(wanted, TrainingResult.model_validate(version.result), version.version))
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


def _findings(wanted: ExportRequest, trained: TrainingResult, version: str) -> Iterator[Finding]:
    """Everything that speaks against an export."""
    if wanted.adapter_only and not trained.adapter:
        yield _error(
            "NO_ADAPTER",
            "adapterOnly",
            f"Version {version} was trained whole and has no adapter.",
        )
    elif wanted.adapter_only and wanted.format not in ADAPTER_FORMATS:
        yield _error(
            "ADAPTER_NOT_OFFERED",
            "adapterOnly",
            f"{wanted.format} holds whole models; an adapter alone goes with "
            f"{_listed(ADAPTER_FORMATS)}.",
        )
    yield from _weight_type_findings(wanted)
    yield from _shard_findings(wanted)


def _weight_type_findings(wanted: ExportRequest) -> Iterator[Finding]:
    offered = WEIGHT_TYPES[wanted.format]
    if wanted.weight_type is None:
        return
    if wanted.weight_type not in offered:
        others = f": it has {_listed(offered)}" if offered else " and chooses by itself"
        yield _error(
            "WEIGHT_TYPE_NOT_OFFERED",
            "weightType",
            f"{wanted.format} does not store weights as {wanted.weight_type}{others}.",
        )
    elif wanted.adapter_only:
        yield _error(
            "ADAPTER_STAYS_AS_IT_IS",
            "weightType",
            f"An adapter alone is stored as it was trained, and not as {wanted.weight_type}.",
        )


def _shard_findings(wanted: ExportRequest) -> Iterator[Finding]:
    if wanted.shard_bytes is None:
        return
    if wanted.format not in SHARDED_FORMATS:
        yield _error("NOT_SHARDED", "shardBytes", f"{wanted.format} has its weights in one file.")
    elif wanted.shard_bytes < LEAST_SHARD_BYTES:
        yield Finding(
            severity=Severity.ERROR,
            code="SHARDS_TOO_SMALL",
            path=("shardBytes",),
            message=f"shardBytes is {wanted.shard_bytes}, below {LEAST_SHARD_BYTES}.",
            remedy=f"Set it to {LEAST_SHARD_BYTES} or more.",
        )


def _error(code: str, field: str, message: str) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        code=code,
        path=(field,),
        message=message,
        remedy=f"Leave {field} out.",
    )


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted(values))
