"""Datasets of the Hugging Face hub: asked for here, fetched and taken in by a worker."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from jobs import audit
from jobs.access import Viewer
from jobs.artifacts import Artifacts
from jobs.data.datasets import checked_name, refuse_bad_description, refuse_other_type
from jobs.database import transaction
from jobs.errors import InvalidInput
from jobs.models import Dataset
from jobs.queue import Queue, Work
from jobs.settings import Settings
from jobs.status import TaskStatus
from training.config import DataType
from training.data.formats.mapping import Mapping
from training.data.ingest.spec import HubSource, OnInvalid

__all__ = ["HubDraft", "fetch", "remove_left"]

MAX_CHARACTERS: Final = 200


@dataclass(frozen=True)
class HubDraft:
    """A dataset to be made of a split of the hub, whose names are as they were given."""

    name: str
    description: str | None
    id: str
    split: str
    config: str | None = None
    revision: str | None = None
    data_type: DataType | None = None
    on_invalid: OnInvalid = OnInvalid.ERROR
    mapping: Mapping | None = None


async def fetch(viewer: Viewer, draft: HubDraft, *, settings: Settings, queue: Queue) -> Dataset:
    """Queue the making of a dataset of a split, of at most as many bytes as may be uploaded.

    Only a worker's child process asks the hub, so that what the hub refuses makes the dataset FAILED.
    Raises InvalidInput for names that can be none.
    """
    name = checked_name(draft.name)
    refuse_bad_description(draft.description or "")
    refuse_other_type(draft.mapping, draft.data_type)
    for part in ("id", "config", "split", "revision"):
        _refuse_if_bad(part, getattr(draft, part))
    source = HubSource(
        id=draft.id,
        config=draft.config,
        split=draft.split,
        revision=draft.revision,
        max_bytes=settings.max_upload_bytes,
    )
    mapping = draft.mapping
    async with transaction():
        dataset = await Dataset.create(
            name=name,
            description=draft.description,
            status=TaskStatus.QUEUED,
            progress=0.0,
            hub=source.model_dump(mode="json"),
            on_invalid=draft.on_invalid,
            mapping=mapping and mapping.model_dump(mode="json"),
            data_type=mapping.data_type if mapping else draft.data_type,
            owner_id=viewer.user_id,
        )
        await audit.record(viewer, "createDataset", dataset, dataset.id, name=name)
    await queue.enqueue(Work.INGEST, dataset.id, attempt=1)
    return dataset


async def remove_left(artifacts: Artifacts) -> None:
    """Remove what was fetched for datasets that were deleted or have ended. May run twice at once."""
    folders = await asyncio.to_thread(artifacts.download_folders)
    if not folders:
        return
    waiting = (TaskStatus.QUEUED, TaskStatus.RUNNING)
    rows = Dataset.filter(id__in=list(folders), status__in=waiting)
    used = {row.id for row in await rows.only("id")}
    for dataset_id, folder in folders.items():
        if dataset_id not in used:
            with suppress(FileNotFoundError):  # another worker's sweep was faster
                await asyncio.to_thread(artifacts.remove, folder)


def _refuse_if_bad(part: str, given: str | None) -> None:
    if given is None or (1 <= len(given) <= MAX_CHARACTERS and given.isprintable()):
        return
    raise InvalidInput.at(
        ["source", "hub", part],
        f"The {part} {given[:40]!r} has {len(given)} characters, or some that cannot be printed.",
        code="HUB_NAME",
        remedy=f"Write it as the hub does, in 1 to {MAX_CHARACTERS} characters.",
    )
