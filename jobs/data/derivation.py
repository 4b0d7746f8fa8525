"""Datasets made from others: asked for here, made by a worker, each with what it was made from and by."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from jobs import audit
from jobs.access import Viewer
from jobs.data import datasets, foreseen, inline, strategies, uploads
from jobs.data.datasets import OnInvalid, checked_name, refuse_bad_description, unready_findings
from jobs.data.foreseen import Found
from jobs.data.inline import Draft
from jobs.data.strategies import Choice
from jobs.database import transaction
from jobs.errors import InvalidInput
from jobs.models import Dataset, Derivation, Upload
from jobs.queue import Queue, Work
from jobs.settings import Settings
from jobs.status import TaskStatus
from training.config import DataType
from training.data.containers.prose import Division
from training.data.derivation import LineRange, RemovalPlan
from training.data.formats.mapping import Mapping
from training.data.ingest.mapping import CANONICAL

__all__ = ["DerivationDraft", "derive"]


@dataclass(frozen=True)
class DerivationDraft:
    """What is to be made of a dataset. Removal comes first, and looks at its records alone.

    Of `records`, `upload_id` and `added_dataset_id` at most one is given.
    """

    parent_id: UUID
    name: str | None = None
    """The parent's, where left out; so is the description."""
    description: str | None = None
    remove: Sequence[LineRange] = ()
    strategies: Sequence[Choice] = ()
    token_examination_id: UUID | None = None
    """By which strategies are chosen about what is found in tokens."""
    remove_duplicates: bool = False
    """Whether a record goes that is equal to an earlier one which stays."""
    records: Sequence[object] = ()
    upload_id: UUID | None = None
    added_dataset_id: UUID | None = None
    mapping: Mapping | None = None
    """Of records or an upload; found in the first of them where None."""
    division: Division = Division.PASSAGES
    on_invalid: OnInvalid = OnInvalid.ERROR


async def derive(
    viewer: Viewer, draft: DerivationDraft, *, settings: Settings, queue: Queue
) -> Dataset:
    """Queue the making of a dataset of another's records, without some of them, and with more.

    What can be told at once is refused at once, the rest makes the dataset FAILED. NotFound;
    InvalidInput names every bad record, and what cannot be removed; Conflict for an upload that is
    not whole, or in use. The parent stays as it is, and is not deleted before the other is made.
    """
    parent = await datasets.get(viewer, draft.parent_id)
    _refuse_unready(parent, "parentId")
    name = checked_name(parent.name if draft.name is None else draft.name)
    refuse_bad_description(draft.description or "")
    _refuse_bad_ranges(draft.remove, parent)
    plan, found = await _removal(draft, parent)
    assert parent.data_type is not None  # noqa: S101 - it is READY
    mapping, adds = await _addition(viewer, draft, parent.data_type)
    foreseen.refuse_foreseeable(plan, parent, found, adds=adds)
    async with transaction():
        # always in the same order, so that no two wait for each other
        for held in sorted({parent.id, draft.added_dataset_id or parent.id}):
            await datasets.hold(held)
        dataset = await Dataset.create(
            name=name,
            description=parent.description if draft.description is None else draft.description,
            status=TaskStatus.QUEUED,
            progress=0.0,
            on_invalid=draft.on_invalid,
            mapping=mapping and mapping.model_dump(mode="json"),
            data_type=parent.data_type,
            owner_id=viewer.user_id,
            **await _upload_columns(viewer, draft, settings),
        )
        _ = await Derivation.create(
            id=dataset.id,
            dataset_id=dataset.id,
            parent_id=parent.id,
            added_dataset_id=draft.added_dataset_id,
            removal=plan.model_dump(mode="json"),
            records=_lines(draft.records),
        )
        await audit.record(viewer, "deriveDataset", dataset, dataset.id, parent=str(parent.id))
    await queue.enqueue(Work.INGEST, dataset.id, attempt=1)
    return dataset


async def _removal(draft: DerivationDraft, parent: Dataset) -> tuple[RemovalPlan, Found]:
    """What is to go, and what is known of it."""
    found = await foreseen.found_in(
        parent, draft.token_examination_id, by_findings=bool(draft.strategies)
    )
    plan = RemovalPlan(
        lines=tuple(draft.remove),
        strategies=strategies.chosen(
            draft.strategies, ("remove", "strategies"), looked_for=found.looked_for
        ),
        tokens=found.examined,
        duplicates=draft.remove_duplicates,
    )
    foreseen.refuse_idle_examination(plan)
    return plan, found


async def _addition(
    viewer: Viewer, draft: DerivationDraft, data_type: DataType
) -> tuple[Mapping | None, bool]:
    """The mapping of what is to be added, as far as it is known, and whether anything may be."""
    if draft.mapping is not None:
        _refuse_bad_mapping(draft, draft.mapping, data_type)
    if draft.added_dataset_id is not None:
        other = await datasets.get(viewer, draft.added_dataset_id)
        _refuse_unready(other, "add", "datasetId")
        if other.data_type is not data_type:
            raise InvalidInput.at(
                ["add", "datasetId"],
                f"The records of {other.name!r} are {other.data_type}, the parent's {data_type}.",
                code="DATA_TYPE_DIFFERS",
                remedy="Add records of the parent's type.",
            )
        return CANONICAL[data_type], True
    if not draft.records:
        return draft.mapping, draft.upload_id is not None
    sent = Draft("", None, data_type, draft.records, draft.on_invalid, draft.mapping)
    mapping, taken = await asyncio.to_thread(inline.checked, sent, ("add", "records"))
    return mapping, taken > 0


async def _upload_columns(
    viewer: Viewer, draft: DerivationDraft, settings: Settings
) -> dict[str, Any]:
    """A dataset's columns for the upload that is added to it, which is held."""
    if draft.upload_id is None:
        return {}
    upload: Upload = await uploads.hold(viewer, draft.upload_id, seconds=settings.upload_seconds)
    return {
        "upload_id": upload.id,
        "source_name": upload.name,
        "source_bytes": upload.size_bytes,
        "division": draft.division,
    }


def _lines(records: Sequence[object]) -> str | None:
    return "".join(json.dumps(each) + "\n" for each in records) or None


def _refuse_unready(dataset: Dataset, *path: str) -> None:
    unready = [each.model_copy(update={"path": path}) for each in unready_findings(dataset)]
    if unready:
        raise InvalidInput(unready[0].message, unready)


def _refuse_bad_ranges(ranges: Sequence[LineRange], parent: Dataset) -> None:
    for index, (first, last) in enumerate(ranges):
        if not 1 <= first <= last <= parent.record_count:
            raise InvalidInput.at(
                ["remove", "lines", str(index)],
                f"Lines {first} to {last} are no range in the dataset's {parent.record_count}.",
                code="LINES_OUT_OF_RANGE",
                remedy=f"Name lines from 1 to {parent.record_count}, the smaller one first.",
            )


def _refuse_bad_mapping(draft: DerivationDraft, mapping: Mapping, data_type: DataType) -> None:
    if not draft.records and draft.upload_id is None:
        raise InvalidInput.at(
            ["mapping"],
            "There are no rows to be mapped.",
            code="MAPPING_WITHOUT_ROWS",
            remedy="Leave the mapping out; another dataset's records have the parent's shape.",
        )
    if mapping.data_type is not data_type:
        raise InvalidInput.at(
            ["mapping"],
            f"The mapping makes {mapping.data_type} of the rows, but the parent's are {data_type}.",
            code="DATA_TYPE_DIFFERS",
            remedy=f"Choose a format that makes {data_type}, or leave the mapping out.",
        )
