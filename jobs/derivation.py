"""Datasets made from others: immutable versions, each with what it was made from and by."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from jobs import audit, comparisons, datasets, examinations, lineage
from jobs.access import Viewer
from jobs.artifacts import Artifacts
from jobs.database import transaction
from jobs.datasets import OnInvalid, checked_name, refuse_bad_description, unready_findings
from jobs.errors import InvalidInput, NotFound, StorageFull
from jobs.ingest import stored_columns
from jobs.models import Dataset
from training.data import derivation, digests
from training.data.containers.rows import RawRow, Rows
from training.data.derivation import Changes, LineRange
from training.data.ingest.errors import NoRoomForDataset
from training.data.ingest.mapping import CANONICAL
from training.data.ingest.spec import IngestResult
from training.data.ingest.storing import store
from training.data.records import Rejected, Validated, validate
from training.findings import Finding, Severity

__all__ = ["Derivation", "derive"]

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""What can be read while a request waits: 4 MB a second where records are short, in half a minute."""
MAX_FINDINGS: Final = 100


@dataclass(frozen=True)
class Derivation:
    """What is to be made of a dataset. Removal comes first, and looks at its records alone."""

    parent_id: UUID
    name: str | None = None
    """The parent's, where left out; so is the description."""
    description: str | None = None
    add: Sequence[object] = ()
    remove: Sequence[LineRange] = ()
    remove_duplicates: bool = False
    """Whether a record goes that is equal to an earlier one which stays."""
    on_invalid: OnInvalid = OnInvalid.ERROR


async def derive(viewer: Viewer, wanted: Derivation, *, artifacts: Artifacts) -> Dataset:
    """Make a dataset of another's records, without some of them, and with more.

    NotFound; InvalidInput names every bad record, and what cannot be removed. The parent stays as
    it is.
    """
    parent = await datasets.get(viewer, wanted.parent_id)
    name = checked_name(parent.name if wanted.name is None else wanted.name)
    refuse_bad_description(wanted.description or "")
    _refuse_bad_ranges(wanted, parent)
    assert parent.data_type is not None  # noqa: S101 - it is READY
    added = validate(parent.data_type, enumerate(wanted.add, 1))
    _refuse_invalid(added.rejected, wanted)
    child = Dataset(id=uuid4(), name=name, owner_id=viewer.user_id)
    child.data_type = parent.data_type
    child.description = parent.description if wanted.description is None else wanted.description
    child.on_invalid = wanted.on_invalid
    folder = artifacts.dataset(child.id)
    try:
        write = partial(_write, wanted, parent, added, folder=folder, artifacts=artifacts)
        found, changes = await asyncio.to_thread(write)
        _ = child.update_from_dict(stored_columns(found))
        async with transaction():
            await datasets.hold(parent.id)
            await child.save(force_create=True)
            _ = await lineage.add(parent, child, changes)
            await examinations.request(child.id)
            await audit.record(viewer, "deriveDataset", child, child.id, parent=str(parent.id))
    except BaseException:
        artifacts.remove(artifacts.dataset(child.id))
        raise
    return child


def _write(
    wanted: Derivation, parent: Dataset, added: Validated, *, folder: Path, artifacts: Artifacts
) -> tuple[IngestResult, Changes]:
    """The child's files, and what sets it apart from its parent."""
    assert parent.data_type is not None  # noqa: S101 - it is READY
    gone = derivation.marked(parent.record_count, wanted.remove)
    if wanted.remove_duplicates:
        digests.mark_repeated(comparisons.digested(parent.id, artifacts), gone)
    changes = derivation.changes(gone, len(added.records))
    _refuse_idle(changes, parent)
    folder.mkdir(parents=True)
    rows = _rows(artifacts.records(parent.id), gone, added)
    try:
        found = store(rows, CANONICAL[parent.data_type], folder, on_invalid=OnInvalid.DROP)
    except FileNotFoundError as error:  # the parent was deleted a moment ago
        raise NotFound("dataset", parent.id) from error
    except NoRoomForDataset as error:
        raise StorageFull(error.message, error.remedy) from error
    outdated = found.rejected_count - len(added.rejected)
    if outdated:  # the rules for records were other ones when the parent was made
        raise InvalidInput.at(
            ["parentId"],
            f"{outdated} records of the dataset are no longer valid.",
            code="RECORDS_OUTDATED",
            remedy="Export its records, mend them, and make a dataset of them.",
        )
    return found, changes


def _rows(records: Path, gone: bytearray, added: Validated) -> Rows:
    """What is kept, then what is added, of which the rejected are only noted."""
    yield from (RawRow(line, record) for line, record in derivation.kept(records, gone))
    yield from added.rejected
    yield from (RawRow(line, record) for line, record in added.records)


def _refuse_bad_ranges(wanted: Derivation, parent: Dataset) -> None:
    unready = [each.model_copy(update={"path": ("parentId",)}) for each in unready_findings(parent)]
    if unready:
        raise InvalidInput(unready[0].message, unready)
    if parent.size_bytes > MAX_FILE_BYTES:
        raise InvalidInput.at(
            ["parentId"],
            f"The dataset has {parent.size_bytes} bytes; others are derived from at most "
            f"{MAX_FILE_BYTES}.",
            code="FILE_TOO_LARGE",
            remedy="Change the file that it was made of, and make a dataset of that.",
        )
    for index, (first, last) in enumerate(wanted.remove):
        if not 1 <= first <= last <= parent.record_count:
            raise InvalidInput.at(
                ["remove", "lines", str(index)],
                f"Lines {first} to {last} are no range in the dataset's {parent.record_count}.",
                code="LINES_OUT_OF_RANGE",
                remedy=f"Name lines from 1 to {parent.record_count}, the smaller one first.",
            )


def _refuse_invalid(rejected: Sequence[Rejected], wanted: Derivation) -> None:
    if rejected and wanted.on_invalid is OnInvalid.ERROR:
        raise InvalidInput(
            f"{len(rejected)} of {len(wanted.add)} records are invalid.",
            [
                _finding(each, ("add", "records", str(each.line - 1)))
                for each in rejected[:MAX_FINDINGS]
            ],
        )


def _refuse_idle(changes: Changes, parent: Dataset) -> None:
    if not changes.added and not changes.removed:
        raise InvalidInput.at(
            ["parentId"],
            "Nothing is removed and nothing added.",
            code="NOTHING_CHANGED",
            remedy="Name lines to remove or send valid records; or use the dataset as it is.",
        )
    if not changes.added and changes.removed == parent.record_count:
        raise InvalidInput.at(
            ["remove"],
            f"All {parent.record_count} records would be removed.",
            code="EMPTY_DATASET",
            remedy="Keep at least one record, or add one.",
        )


def _finding(rejected: Rejected, path: tuple[str, ...]) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        code=rejected.code,
        path=path,
        message=f"Record {rejected.line}: {rejected.message}",
        remedy="Correct the record, or send onInvalid: DROP to leave it out.",
    )
