"""Records that came with the request: mapped, checked and stored while it waits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import InvalidInput, StorageFull
from training.config import DataType
from training.data.containers.rows import RawRow, Rows
from training.data.formats.conversion import Converter
from training.data.formats.mapping import Mapping
from training.data.ingest.errors import NoRoomForDataset
from training.data.ingest.mapping import CANONICAL, mapped
from training.data.ingest.spec import REJECTED, IngestResult, OnInvalid
from training.data.ingest.storing import store as store_rows
from training.data.line_files import read_lines
from training.data.records import Rejected
from training.errors import SourceUnreadable
from training.events import Failure
from training.findings import Finding, Severity

__all__ = ["Draft", "checked", "store"]

MAX_FINDINGS = 100
PATH = ("source", "records")


@dataclass(frozen=True)
class Draft:
    """A dataset as it was sent, with its records. Lines count from 1 in their order."""

    name: str
    description: str | None
    data_type: DataType | None
    """What the records must be; whatever their format makes of them where None."""
    records: Sequence[object]
    on_invalid: OnInvalid = OnInvalid.ERROR
    mapping: Mapping | None = None
    """Detected where None."""


def store(draft: Draft, folder: Path) -> IngestResult:
    """Write a draft's records into a new folder. InvalidInput, with a finding for each bad record,
    where they are refused; StorageFull."""
    if not draft.records:
        raise InvalidInput.at(
            PATH,
            "The dataset has no records.",
            code="EMPTY_DATASET",
            remedy="Send at least one record.",
        )
    folder.mkdir(parents=True)
    try:
        mapping, rows = _mapped(draft)
        found = store_rows(rows, mapping, folder, on_invalid=draft.on_invalid)
    except SourceUnreadable as error:
        path = ("dataType",) if error.code == "DATA_TYPE_DIFFERS" else PATH
        raise InvalidInput.at(
            path, error.message, code=error.code, remedy=error.remedy or ""
        ) from error
    except NoRoomForDataset as error:
        raise StorageFull(error.message, "Free some space and send them again.") from error
    if found.refused:
        raise _refusal(found.refused, found, folder)
    return found


def checked(draft: Draft, path: Sequence[str]) -> tuple[Mapping, int]:
    """The mapping of a draft's records, which stand at this path of an input, and how many can be taken.

    InvalidInput, with a finding for each bad record, where they are refused.
    """
    try:
        mapping, rows = _mapped(draft)
    except SourceUnreadable as error:
        raise InvalidInput.at(
            path, error.message, code=error.code, remedy=error.remedy or ""
        ) from error
    made = list(Converter(mapping).records(rows))
    rejected = [row for row in made if isinstance(row, Rejected)]
    if rejected and draft.on_invalid is OnInvalid.ERROR:
        message = f"{len(rejected)} of {len(made)} records are invalid."
        raise InvalidInput(message, [_as_finding(row, path) for row in rejected[:MAX_FINDINGS]])
    return mapping, len(made) - len(rejected)


def _mapped(draft: Draft) -> tuple[Mapping, Rows]:
    """The mapping and the rows. Where the type was said and no record has a format of it, each is to
    be told what it lacks of the type's own."""
    try:
        return mapped(_rows(draft), draft.mapping, draft.data_type)
    except SourceUnreadable as error:
        if error.code != "FORMAT_UNKNOWN" or draft.data_type is None:
            raise
        return CANONICAL[draft.data_type], _rows(draft)


def _rows(draft: Draft) -> Rows:
    return (RawRow(line, value) for line, value in enumerate(draft.records, 1))


def _refusal(failure: Failure, found: IngestResult, folder: Path) -> InvalidInput:
    if failure.code != "INVALID_RECORDS":
        return InvalidInput.at(
            PATH, failure.message, code=failure.code, remedy=failure.remedy or ""
        )
    lines = read_lines(folder / REJECTED, 0, MAX_FINDINGS)
    findings = [_as_finding(Rejected.model_validate_json(line), PATH) for _, line in lines]
    message = f"{found.rejected_count} of {found.rows} records are invalid."
    return InvalidInput(message, findings)


def _as_finding(rejected: Rejected, path: Sequence[str]) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        code=rejected.code,
        path=(*path, str(rejected.line - 1)),
        message=f"Record {rejected.line}: {rejected.message}",
        remedy="Correct the record, or send onInvalid: DROP to leave it out.",
    )
