"""A dataset that a worker derives from another: what its child is told, and what is kept of it."""

import asyncio
import json
from pathlib import Path
from typing import Final
from uuid import UUID

from tortoise.expressions import Q

from jobs.artifacts import Artifacts
from jobs.data import lineage
from jobs.errors import Conflict
from jobs.models import Dataset, Derivation
from jobs.status import TaskStatus
from training.data.derivation import AddedDataset, Changes, RemovalPlan
from training.data.ingest.spec import DerivedSource, FileSource, LinesSource

__all__ = ["refuse_if_needed", "settle", "source_of"]

_ADDED: Final = ".added.jsonl.partial"
"""Hidden so that it goes, with what a killed writer left, once the child has ended."""


async def source_of(
    derivation: Derivation, file: FileSource | None, *, folder: Path, artifacts: Artifacts
) -> DerivedSource:
    """What the child is told, of an upload that is to be added where there is one."""
    parent = await Dataset.get(id=derivation.parent_id)
    added: FileSource | LinesSource | None = file
    added_dataset = None
    if derivation.added_dataset_id is not None:
        other = await Dataset.get(id=derivation.added_dataset_id)
        assert other.sha256 is not None  # noqa: S101 - it is READY
        added = LinesSource(path=str(artifacts.records(other.id)))
        added_dataset = AddedDataset(name=other.name, sha256=other.sha256)
    elif derivation.records is not None:
        await asyncio.to_thread(artifacts.write, folder / _ADDED, derivation.records.encode())
        added = LinesSource(path=str(folder / _ADDED))
    removal = RemovalPlan.model_validate(derivation.removal)
    return DerivedSource(
        path=str(artifacts.records(parent.id)),
        record_count=parent.record_count,
        examination=str(artifacts.examination(parent.id)),
        token_examination=removal.tokens
        and str(artifacts.token_examination(UUID(removal.tokens.key))),
        removal=removal,
        added=added,
        added_dataset=added_dataset,
    )


async def settle(dataset: Dataset, artifacts: Artifacts) -> None:
    """Write down, in the transaction that makes it READY, where a dataset comes from, if it was derived."""
    derivation = await Derivation.get_or_none(id=dataset.id)
    if derivation is None:
        return
    answer = artifacts.dataset(dataset.id) / "result.json"
    told = json.loads(await asyncio.to_thread(answer.read_bytes))
    changes = Changes.model_validate(told["result"]["changes"])
    parent = await Dataset.get(id=derivation.parent_id)
    _ = await lineage.add(parent, dataset, changes)
    await derivation.delete()


async def refuse_if_needed(dataset: Dataset) -> None:
    """Conflict while others are being made of it; within the transaction that deletes it."""
    rows = Derivation.filter(dataset__status__in=[TaskStatus.QUEUED, TaskStatus.RUNNING])
    made = await rows.filter(Q(parent_id=dataset.id) | Q(added_dataset_id=dataset.id)).count()
    if made:
        raise Conflict(
            f"Of the dataset {dataset.name!r} {made} other(s) are being made.",
            "Wait until they have ended, or delete them.",
        )
