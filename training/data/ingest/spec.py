"""What an ingest child is told (`ingest.json`) and what it answers (`result.json`)."""

from enum import StrEnum
from typing import Final, Literal

from pydantic import Field

from training.config import DataType, Frozen
from training.data.containers.reading import Container
from training.data.containers.source import Compression
from training.data.formats.mapping import Mapping
from training.data.records import Rejected, Statistics
from training.events import Failure

__all__ = [
    "RECORDS",
    "REJECTED",
    "FileSource",
    "IngestResult",
    "IngestSpec",
    "InspectedRow",
    "Inspection",
    "InspectionSpec",
    "OnInvalid",
]

RECORDS: Final = "records.jsonl"
"""A dataset's records in canonical form, one a line."""
REJECTED: Final = "rejected.jsonl"
"""Beside them, a `Rejected` a line; no such file where all were taken."""


class OnInvalid(StrEnum):
    """What to do where some records are invalid."""

    ERROR = "ERROR"
    DROP = "DROP"


class FileSource(Frozen):
    """A local file; another kind of source says so in its `kind`."""

    kind: Literal["FILE"] = "FILE"
    path: str


class IngestSpec(Frozen):
    """One source, and what its rows are taken for."""

    source: FileSource
    mapping: Mapping | None = None
    """Detected where it is None."""
    data_type: DataType | None = None
    """What the mapping must come to, where that was said."""
    on_invalid: OnInvalid = OnInvalid.ERROR


class IngestResult(Frozen):
    """What came of a source whose rows could be told; `refused` says why it is no dataset even so."""

    container: Container | None
    """None for rows that came in no file."""
    compression: Compression | None = None
    mapping: Mapping
    rows: int
    rejected_count: int
    left_out: dict[str, int]
    """Rows for each column that was in them and is not in the records."""
    statistics: Statistics
    size_bytes: int
    sha256: str
    refused: Failure | None = None


class InspectionSpec(Frozen):
    """A file to be looked at; the mapping is detected where it is None."""

    source: FileSource
    mapping: Mapping | None = None


class InspectedRow(Frozen):
    """One of the first rows: as the file has it, long texts cut, and what it becomes."""

    line: int
    raw: object = None
    """None for a row that could not be read."""
    record: dict[str, object] | None = None
    rejected: Rejected | None = None


class Inspection(Frozen):
    """What a file would be taken for, as far as that can be told from its beginning."""

    container: Container | None = None
    compression: Compression | None = None
    mapping: Mapping | None = None
    sampled_rows: int = 0
    rows: tuple[InspectedRow, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    """Of the sample, at most a hundred."""
    left_out: dict[str, int] = Field(default_factory=dict)
    problem: Failure | None = None
    """Why it can be none as it stands."""
