"""Datasets: stored once as canonical JSONL, never half."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID, uuid4

from tortoise.expressions import F

from jobs import audit
from jobs.access import Viewer, visible
from jobs.artifacts import Artifacts
from jobs.data import examinations, inline, uploads
from jobs.data.ingest import stored_columns
from jobs.data.inline import Draft
from jobs.database import AWAY, transaction
from jobs.errors import InvalidInput, NotFound
from jobs.models import Dataset
from jobs.pages import Page, Slice, newest_first
from jobs.queue import Queue, Work
from jobs.settings import Settings
from jobs.status import TaskStatus
from training.config import DataType
from training.data.containers.prose import Division
from training.data.formats.mapping import Mapping
from training.data.ingest.spec import OnInvalid
from training.findings import Finding, Severity

__all__ = [
    "Draft",
    "OnInvalid",
    "UploadDraft",
    "create",
    "follow",
    "get",
    "hold",
    "ingest",
    "listing",
    "unready_findings",
]

logger = logging.getLogger(__name__)

MAX_NAME = 100
MAX_DESCRIPTION = 10_000
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class UploadDraft:
    """A dataset to be made of an upload."""

    name: str
    description: str | None
    upload_id: UUID
    data_type: DataType | None = None
    on_invalid: OnInvalid = OnInvalid.ERROR
    mapping: Mapping | None = None
    division: Division = Division.PASSAGES


async def create(viewer: Viewer, draft: Draft, *, artifacts: Artifacts) -> Dataset:
    """Validate and store a dataset. InvalidInput names every bad record by its line.

    With `OnInvalid.DROP` the good records are taken and the others kept by line and reason; a
    dataset without one good record is refused either way. StorageFull where the disk is full.
    """
    name = checked_name(draft.name)
    refuse_bad_description(draft.description or "")
    dataset_id = uuid4()
    folder = artifacts.dataset(dataset_id)
    try:
        found = await asyncio.to_thread(inline.store, draft, folder)
        async with transaction():
            dataset = await Dataset.create(
                id=dataset_id,
                name=name,
                description=draft.description,
                on_invalid=draft.on_invalid,
                owner_id=viewer.user_id,
                **stored_columns(found),
            )
            await examinations.request(dataset_id)
            await audit.record(viewer, "createDataset", dataset, dataset_id, name=name)
    except BaseException:
        artifacts.remove(folder)
        raise
    return dataset


async def ingest(
    viewer: Viewer, draft: UploadDraft, *, settings: Settings, queue: Queue
) -> Dataset:
    """Queue the making of a dataset of an upload, which stays until the dataset is READY.

    Raises InvalidInput, NotFound for the upload, and Conflict where it is not whole or another
    dataset is being made of it.
    """
    name = checked_name(draft.name)
    refuse_bad_description(draft.description or "")
    mapping = draft.mapping
    refuse_other_type(mapping, draft.data_type)
    async with transaction():
        upload = await uploads.hold(viewer, draft.upload_id, seconds=settings.upload_seconds)
        dataset = await Dataset.create(
            name=name,
            description=draft.description,
            status=TaskStatus.QUEUED,
            progress=0.0,
            upload_id=upload.id,
            source_name=upload.name,
            source_bytes=upload.size_bytes,
            division=draft.division,
            on_invalid=draft.on_invalid,
            mapping=mapping and mapping.model_dump(mode="json"),
            data_type=mapping.data_type if mapping else draft.data_type,
            owner_id=viewer.user_id,
        )
        await audit.record(viewer, "createDataset", dataset, dataset.id, name=name)
    await queue.enqueue(Work.INGEST, dataset.id, attempt=1)
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


async def follow(viewer: Viewer, dataset_id: UUID) -> AsyncGenerator[Dataset, None]:
    """A dataset now and after each change, until it is READY or FAILED, or deleted.

    The row is looked at twice in the time in which a worker changes it once: what is followed lasts
    seconds, or minutes, and has few followers.
    """
    told = await get(viewer, dataset_id)
    yield told
    while told.status in (TaskStatus.QUEUED, TaskStatus.RUNNING):
        await asyncio.sleep(LOOK_SECONDS)
        try:
            now = await get(viewer, dataset_id)
        except NotFound:
            return
        except AWAY as error:
            logger.warning("dataset %s cannot be read: %s", dataset_id, error)
            continue
        if (now.status, now.progress) != (told.status, told.progress):
            told = now
            yield told


def unready_findings(dataset: Dataset) -> tuple[Finding, ...]:
    """Why nothing can be trained on a dataset yet, or ever; nothing where it is READY."""
    if dataset.status is TaskStatus.READY:
        return ()
    if dataset.status is TaskStatus.FAILED:
        reason = (dataset.error or {}).get("message", "")
        message = f"The dataset {dataset.name!r} could not be made: {reason}"
        remedy = "Make it again of the same source, with what was wrong put right."
    else:
        message = f"The dataset {dataset.name!r} is still being made ({dataset.progress:.0f} %)."
        remedy = "Wait until it is READY; datasetStatus tells when."
    finding = Finding(
        severity=Severity.ERROR,
        code="DATASET_NOT_READY",
        path=("datasetId",),
        message=message,
        remedy=remedy,
    )
    return (finding,)


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


def refuse_other_type(mapping: Mapping | None, data_type: DataType | None) -> None:
    """InvalidInput where a type was asked for that the mapping does not make."""
    if mapping is not None and data_type not in (None, mapping.data_type):
        raise InvalidInput.at(
            ["dataType"],
            f"The mapping makes {mapping.data_type} of the rows, not {data_type}.",
            code="DATA_TYPE_DIFFERS",
            remedy="Leave dataType out.",
        )
