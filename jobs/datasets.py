"""Datasets: taken in record by record, stored once as canonical JSONL, never half."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from uuid import UUID, uuid4

from tortoise.expressions import F, Q

from jobs import audit, lineage, uploads
from jobs.access import Viewer, visible
from jobs.artifacts import Artifacts
from jobs.database import transaction
from jobs.dataset_files import MAX_FILE_BYTES, Stored, store
from jobs.errors import InUse, InvalidInput, NotFound
from jobs.models import Dataset, TrainingJob
from jobs.pages import Page, Slice, newest_first
from jobs.status import ENDED
from training.config import DataType
from training.data import jsonl
from training.data.records import Record, Rejected
from training.validation import Finding, Severity

__all__ = [
    "Deleted",
    "Draft",
    "OnInvalid",
    "Uploaded",
    "create",
    "delete",
    "get",
    "hold",
    "listing",
    "records",
]

MAX_NAME = 100
MAX_DESCRIPTION = 10_000
MAX_FINDINGS = 100


class OnInvalid(StrEnum):
    """What to do where some records are invalid."""

    ERROR = "ERROR"
    DROP = "DROP"


@dataclass(frozen=True)
class Uploaded:
    """Records that lie in an upload, one JSON object a line."""

    upload_id: UUID


@dataclass(frozen=True)
class Draft:
    """A dataset as it was sent. Lines count from 1 in the order of `records`, or as in the file."""

    name: str
    description: str | None
    data_type: DataType
    records: Sequence[object] | Uploaded
    on_invalid: OnInvalid = OnInvalid.ERROR


@dataclass(frozen=True)
class Deleted:
    """What a deletion removed."""

    id: UUID
    deleted_rows: int
    freed_bytes: int


async def create(viewer: Viewer, draft: Draft, *, artifacts: Artifacts) -> Dataset:
    """Validate and store a dataset. InvalidInput names every bad record by its line.

    With `OnInvalid.DROP` the good records are taken and the others kept as `rejected`, by line
    and reason; a dataset without one good record is refused either way. An upload is gone once a
    dataset was made of it; NotFound or Conflict where there is none, or not the whole of it.
    """
    name = checked_name(draft.name)
    refuse_bad_description(draft.description or "")
    rows = await _rows(viewer, draft.records, artifacts)
    dataset_id = uuid4()
    try:
        stored = await asyncio.to_thread(
            store, rows, draft.data_type, lambda: artifacts.writing(artifacts.records(dataset_id))
        )
        _refuse_if_invalid(draft, stored)
        async with transaction():
            if isinstance(draft.records, Uploaded):
                await uploads.use_up(viewer, draft.records.upload_id)
            dataset = await Dataset.create(
                id=dataset_id,
                name=name,
                description=draft.description,
                data_type=draft.data_type,
                rejected=[item.model_dump(mode="json") for item in stored.rejected],
                owner_id=viewer.user_id,
                **stored.columns(),
            )
            await audit.record(viewer, "createDataset", dataset, dataset_id, name=name)
    except BaseException:
        artifacts.remove(artifacts.dataset(dataset_id))
        raise
    if isinstance(draft.records, Uploaded):
        await asyncio.to_thread(artifacts.remove, artifacts.upload(draft.records.upload_id))
    return dataset


async def get(viewer: Viewer, dataset_id: UUID) -> Dataset:
    """A dataset that the viewer may see; NotFound otherwise."""
    dataset = await visible(viewer, Dataset.filter(id=dataset_id, deleting=False)).first()
    if dataset is None:
        raise NotFound("dataset", dataset_id)
    return dataset


async def listing(
    viewer: Viewer, page: Page, *, user_id: UUID | None = None, data_type: DataType | None = None
) -> Slice[Dataset]:
    """The viewer's datasets, newest first; all of them, or one user's, for an ADMIN."""
    rows = visible(viewer, Dataset.filter(deleting=False))
    if user_id is not None:
        rows = rows.filter(owner_id=user_id)
    if data_type is not None:
        rows = rows.filter(data_type=data_type)
    return await newest_first(rows, page)


async def records(
    dataset: Dataset, *, first: int, after_line: int, artifacts: Artifacts
) -> list[tuple[int, Record]]:
    """Stored records by line number, which counts from 1 in the canonical file."""
    path = artifacts.records(dataset.id)
    return await asyncio.to_thread(_read_lines, path, after_line, after_line + first)


async def delete(viewer: Viewer, dataset_id: UUID, *, artifacts: Artifacts) -> Deleted:
    """Delete a dataset and its files. InUse, naming the jobs, while an unfinished one needs it.

    Finished jobs and their versions stay; they keep the dataset's name and hash, as do datasets that
    were derived from it.
    """
    dataset = await get(viewer, dataset_id)
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
        await lineage.forget(dataset_id)
        await Dataset.filter(id=dataset_id).delete()
        await audit.record(viewer, "deleteDataset", dataset, dataset_id, name=dataset.name)
    freed = await asyncio.to_thread(artifacts.remove, artifacts.dataset(dataset_id))
    return Deleted(dataset_id, deleted_rows=1, freed_bytes=freed)


async def hold(dataset_id: UUID, kind: str = "dataset") -> None:
    """See, inside a transaction, that nobody deletes a dataset before its end; NotFound if it is
    gone.

    Whoever comes second waits for the first.
    """
    if not await Dataset.filter(id=dataset_id, deleting=False).update(uses=F("uses") + 1):
        raise NotFound(kind, dataset_id)


def checked_name(name: str) -> str:
    """A name without blanks around it; InvalidInput where nothing or too much is left."""
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise InvalidInput.at(
            ["name"],
            f"The name {name[:40]!r} has {len(name)} characters, or some that cannot be printed.",
            code="NAME",
            remedy=f"Choose a name of 1 to {MAX_NAME} printable characters.",
        )
    return name


def refuse_bad_description(description: str) -> None:
    """InvalidInput where it is too long, or has what cannot be printed."""
    writable = all(letter.isprintable() or letter in "\t\r\n" for letter in description)
    if len(description) > MAX_DESCRIPTION or not writable:
        raise InvalidInput.at(
            ["description"],
            f"The description has {len(description)} characters, or some that cannot be printed.",
            code="DESCRIPTION",
            remedy=f"Write at most {MAX_DESCRIPTION} printable characters, in lines.",
        )


async def _rows(
    viewer: Viewer, source: Sequence[object] | Uploaded, artifacts: Artifacts
) -> Iterable[tuple[int, object]]:
    if not isinstance(source, Uploaded):
        return enumerate(source, 1)
    upload = await uploads.ready(viewer, source.upload_id)
    if upload.received_bytes > MAX_FILE_BYTES:
        raise InvalidInput.at(
            ["source", "uploadId"],
            f"The file has {upload.received_bytes} bytes; a dataset is made of at most "
            f"{MAX_FILE_BYTES}.",
            code="FILE_TOO_LARGE",
            remedy="Split the file, and make a dataset of each part.",
        )
    return _lines(upload.id, artifacts.uploaded(upload.id))


def _lines(upload_id: UUID, path: Path) -> Iterator[tuple[int, object]]:
    try:
        yield from jsonl.rows(path)
    except FileNotFoundError as error:  # another dataset was made of it a moment ago
        raise NotFound("upload", upload_id) from error


def _refuse_if_invalid(draft: Draft, stored: Stored) -> None:
    path = ("source", "uploadId" if isinstance(draft.records, Uploaded) else "records")
    if not stored.rows:
        raise InvalidInput.at(
            path,
            "The dataset has no records.",
            code="EMPTY_DATASET",
            remedy="Send at least one record.",
        )
    if stored.rejected and (draft.on_invalid is OnInvalid.ERROR or not stored.statistics.records):
        raise InvalidInput(
            f"{len(stored.rejected)} of {stored.rows} records are invalid.",
            [_as_finding(item, path) for item in stored.rejected[:MAX_FINDINGS]],
        )


def _as_finding(rejected: Rejected, path: tuple[str, ...]) -> Finding:
    inline = path[-1] == "records"
    return Finding(
        severity=Severity.ERROR,
        code=rejected.code,
        path=(*path, str(rejected.line - 1)) if inline else path,
        message=f"{'Record' if inline else 'Line'} {rejected.line}: {rejected.message}",
        remedy="Correct the record, or send onInvalid: DROP to leave it out.",
        suggested_patch=None,
    )


def _read_lines(path: Path, start: int, stop: int) -> list[tuple[int, Record]]:
    with path.open("rb") as file:
        lines = islice(enumerate(file, 1), start, stop)
        return [(number, json.loads(line)) for number, line in lines]
