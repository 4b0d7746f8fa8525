"""What an ingest child is told (`ingest.json`) and what it answers (`result.json`)."""

from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from training.config import DataType, Frozen
from training.data.containers.prose import Division
from training.data.containers.reading import Container
from training.data.containers.source import Compression
from training.data.derivation import AddedDataset, Changes, RemovalPlan
from training.data.formats.mapping import Mapping
from training.data.records import Rejected, Statistics
from training.events import Failure

__all__ = [
    "RECORDS",
    "REJECTED",
    "DerivedSource",
    "FileSource",
    "HubDownload",
    "HubSource",
    "IngestResult",
    "IngestSpec",
    "InspectedRow",
    "Inspection",
    "InspectionSpec",
    "LinesSource",
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
    """A local file."""

    kind: Literal["FILE"] = "FILE"
    path: str
    name: str = ""
    """What its owner calls it: the ending tells of plain text and source code what they are."""
    division: Division = Division.PASSAGES
    """How plain text is cut; what has rows of its own is not."""


class HubSource(Frozen):
    """A split of a dataset of the Hugging Face hub: as it was asked for, and then as it was found."""

    kind: Literal["HUB"] = "HUB"
    id: str
    config: str | None = None
    split: str
    revision: str | None = None
    max_bytes: int
    """Of its files together; no more are fetched."""
    commit: str | None = None
    """What the revision was when it was fetched."""
    is_partial: bool = False
    """Whether the hub converted the beginning alone."""


class HubDownload(Frozen):
    """A split of the hub, and the folder in which its files gather until all are there."""

    kind: Literal["HUB_DOWNLOAD"] = "HUB_DOWNLOAD"
    wanted: HubSource
    folder: str


class LinesSource(Frozen):
    """A file of the service's own, with a JSON value on each line."""

    kind: Literal["LINES"] = "LINES"
    path: str


class DerivedSource(Frozen):
    """Another dataset's records, without some of them and with more behind.

    The spec's mapping, and what is done with invalid rows, are about those that are added.
    """

    kind: Literal["DERIVED"] = "DERIVED"
    path: str
    """The other's canonical records, …"""
    record_count: int
    """… how many these are, …"""
    examination: str
    """… the folder in which is kept what was found of each, if it was looked at, …"""
    token_examination: str | None = None
    """… and that of its row of tokens, where the removal is about that."""
    removal: RemovalPlan
    added: Annotated[FileSource | LinesSource, Field(discriminator="kind")] | None = None
    added_dataset: AddedDataset | None = None


Source: TypeAlias = Annotated[FileSource | HubDownload | DerivedSource, Field(discriminator="kind")]


class IngestSpec(Frozen):
    """One source, and what its rows are taken for."""

    source: Source
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
    hub: HubSource | None = None
    """What was fetched, where the source was a split of the hub."""
    source_bytes: int | None = None
    """Of the files that were fetched, together."""
    changes: Changes | None = None
    """What sets it apart from the dataset that it was derived from."""


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
