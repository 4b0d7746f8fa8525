"""What lies in a dataset's folder, a page at a time: its records, and the rows that were not taken."""

import asyncio
import json
from pathlib import Path
from uuid import UUID

from jobs.artifacts import Artifacts
from jobs.errors import Conflict, NotFound
from jobs.models import Dataset
from jobs.status import TaskStatus
from training.data.line_files import read_lines
from training.data.records import Record, Rejected

__all__ = ["records", "records_path", "rejected"]


async def records(
    dataset: Dataset, *, first: int, after_line: int, artifacts: Artifacts
) -> list[tuple[int, Record]]:
    """Stored records by line number, which counts from 1 in the canonical file; none before READY."""
    if dataset.status is not TaskStatus.READY:
        return []
    lines = await asyncio.to_thread(read_lines, artifacts.records(dataset.id), after_line, first)
    return [(number, json.loads(line)) for number, line in lines]


async def rejected(
    dataset: Dataset, *, first: int, after: int, artifacts: Artifacts
) -> list[tuple[int, Rejected]]:
    """Rows that were not taken, numbered from 1 among themselves."""
    if not dataset.rejected_count:
        return []
    if dataset.rejected:  # made before they had a file
        page = dataset.rejected[after : after + first]
        return [
            (number, Rejected.model_validate(row)) for number, row in enumerate(page, after + 1)
        ]
    lines = await asyncio.to_thread(read_lines, artifacts.rejected(dataset.id), after, first)
    return [(number, Rejected.model_validate_json(line)) for number, line in lines]


async def records_path(dataset_id: UUID, artifacts: Artifacts) -> tuple[Dataset, Path]:
    """A READY dataset and the file of its records. NotFound, or Conflict before that."""
    dataset = await Dataset.get_or_none(id=dataset_id, deleting=False)
    if dataset is None:
        raise NotFound("dataset", dataset_id)
    if dataset.status is not TaskStatus.READY:
        raise Conflict(f"The dataset is {dataset.status}.", "Wait until it is READY.")
    return dataset, artifacts.records(dataset_id)
