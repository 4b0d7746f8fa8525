"""The making of a dataset, of an upload, a split of the hub or another dataset: what its child is told,
and what becomes of dataset and upload."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import UUID

from jobs.artifacts import Artifacts
from jobs.data import derived, examinations
from jobs.data.room import reserve
from jobs.database import transaction
from jobs.errors import LeaseLost, QuotaExceeded
from jobs.models import Dataset, Derivation, Upload
from jobs.models.base import Leased
from jobs.settings import Settings
from jobs.status import TaskStatus
from jobs.task import Task
from training.data.formats.mapping import Mapping as ColumnMapping
from training.data.hub.plan import kept_plan
from training.data.ingest.spec import (
    DerivedSource,
    FileSource,
    HubDownload,
    HubSource,
    IngestResult,
    IngestSpec,
)
from training.events import Failure

__all__ = ["IngestFile", "reader_crash", "stored_columns"]

_CRASHES: Final = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
"""How a process dies of what it reads, not of what the machine lacks."""


class IngestFile(Task):
    """Make a dataset's records of an upload, which is gone once they are READY, of the hub's files, or of
    another dataset's.

    A dataset that FAILED leaves the upload, to be tried again with another mapping.
    """

    table: ClassVar[type[Leased]] = Dataset
    tells_progress: ClassVar[bool] = True

    def folder(self, row_id: UUID, artifacts: Artifacts) -> Path:
        """The dataset's own: each attempt finds it empty."""
        return artifacts.dataset(row_id)

    async def command(self, row_id: UUID, folder: Path, artifacts: Artifacts) -> Sequence[str]:
        """The ingest, told by `ingest.json`."""
        dataset = await Dataset.get_or_none(id=row_id)
        source = None if dataset is None else await _source(dataset, folder, artifacts)
        if dataset is None or source is None:
            raise LeaseLost(f"Dataset {row_id} was deleted.")
        mapping = dataset.mapping and ColumnMapping.model_validate(dataset.mapping)
        spec = IngestSpec(
            source=source,
            mapping=mapping,
            data_type=dataset.data_type,
            on_invalid=dataset.on_invalid,
        )
        content = spec.model_dump_json().encode()
        await asyncio.to_thread(artifacts.write, folder / "ingest.json", content)
        return "training.data.ingest.run", str(folder)

    async def refusal(self, row_id: UUID, settings: Settings) -> Failure | None:
        """That what is to be fetched is more than its owner may have on the way, once that is known."""
        folder = Artifacts(settings.artifacts).download(row_id)
        plan = await asyncio.to_thread(kept_plan, folder)
        if plan is None:
            return None
        try:
            await _reserve(row_id, plan.size_bytes, settings.upload_quota_bytes)
        except QuotaExceeded as error:
            return Failure(code=error.code, message=error.message, remedy=error.remedy)
        return None

    def columns(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """What the records are; FAILED, with the mapping and the count of bad rows, if refused."""
        found = IngestResult.model_validate(result)
        columns = {"progress": 100.0, **stored_columns(found)}
        if found.hub is not None:
            hub = found.hub.model_dump(mode="json")
            columns |= {"hub": hub, "source_bytes": found.source_bytes}
        return columns

    async def settle(self, row_id: UUID, status: TaskStatus, settings: Settings) -> None:
        """Use up the upload, note the descent and have the dataset examined; or keep the upload for
        another try."""
        dataset = await Dataset.get(id=row_id)
        upload = Upload.filter(id=dataset.upload_id)
        if status is TaskStatus.READY:
            if dataset.upload_id is not None:
                await upload.delete()  # its file goes with the next sweep
                await Dataset.filter(id=row_id).update(upload_id=None)
            await derived.settle(dataset, Artifacts(settings.artifacts))
            await examinations.request(row_id)
        elif status is TaskStatus.FAILED and dataset.upload_id is not None:
            kept = datetime.now(UTC) + timedelta(seconds=settings.upload_seconds)
            await upload.update(expires_at=kept)

    def crash(self, exit_code: int) -> Failure | None:
        """A reader that crashed was given a damaged file."""
        return reader_crash(exit_code)


async def _reserve(dataset_id: UUID, size_bytes: int, quota_bytes: int) -> None:
    """Count what is fetched for a dataset among what its owner has on the way, where it is not yet."""
    rows = Dataset.filter(id=dataset_id, hub__isnull=False)
    dataset = await rows.only("id", "owner_id", "source_bytes").first()
    if dataset is None or dataset.source_bytes == size_bytes:
        return
    async with transaction():
        counted = dataset.source_bytes or 0  # of a commit that is gone, where there is any
        await reserve(dataset.owner_id, size_bytes - counted, quota_bytes)
        await rows.update(source_bytes=size_bytes)


async def _source(
    dataset: Dataset, folder: Path, artifacts: Artifacts
) -> FileSource | HubDownload | DerivedSource | None:
    """What a dataset is to be made of; None where it is made already."""
    if dataset.hub is not None:
        wanted = HubSource.model_validate(dataset.hub)
        return HubDownload(wanted=wanted, folder=str(artifacts.download(dataset.id)))
    file = None
    if dataset.upload_id is not None:
        file = FileSource(
            path=str(artifacts.uploaded(dataset.upload_id)),
            name=dataset.source_name or "",
            division=dataset.division,
        )
    derivation = await Derivation.get_or_none(id=dataset.id)
    if derivation is None:
        return file
    return await derived.source_of(derivation, file, folder=folder, artifacts=artifacts)


def stored_columns(found: IngestResult) -> dict[str, Any]:
    """A dataset's columns for what was stored, or for what was refused."""
    columns = {
        "container": found.container,
        "compression": found.compression,
        "mapping": found.mapping.model_dump(mode="json"),
        "data_type": found.mapping.data_type,
        "left_out": found.left_out,
        "rejected_count": found.rejected_count,
    }
    if found.refused:
        error = found.refused.model_dump(mode="json")
        return columns | {"status": TaskStatus.FAILED, "error": error}
    return columns | {
        "record_count": found.statistics.records,
        "size_bytes": found.size_bytes,
        "sha256": found.sha256,
        "statistics": found.statistics.model_dump(mode="json"),
    }


def reader_crash(exit_code: int) -> Failure | None:
    """What it says of a file that its reader died with this exit code; None where nothing."""
    if -exit_code not in _CRASHES:
        return None
    return Failure(
        code="SOURCE_CRASHES",
        message=f"The file brought its reader down ({signal.Signals(-exit_code).name}), "
        "so it must be damaged.",
        remedy="Write the file again, or send its rows as JSONL.",
    )
