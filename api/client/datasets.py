"""Datasets as the API tells of them: what they are, what they were made of, and what was left out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field

from api.client.record import Record
from api.client.results import Failure
from jobs.status import TaskStatus
from training.config import DataType, TrainOn
from training.data.containers.prose import Division
from training.data.containers.reading import Container
from training.data.containers.source import Compression
from training.data.derivation import Cause
from training.data.doctor.checks import Code
from training.data.formats.shapes import Format, Part

__all__ = [
    "Dataset",
    "DatasetDerivation",
    "DatasetMapping",
    "DeletedDataset",
    "ExaminedTokens",
    "HubSource",
    "HubSplit",
    "InspectedRow",
    "Inspection",
    "LeftOutColumn",
    "MappedColumn",
    "MappingOptions",
    "Rejected",
    "Removal",
    "UploadSource",
]


class MappedColumn(Record):
    """A column, and what it is to its format."""

    part: Part
    column: str


class DatasetMapping(Record):
    """What rows were taken for."""

    format: Format
    data_type: DataType
    columns: tuple[MappedColumn, ...]
    ignored: tuple[str, ...]


class MappingOptions(Record):
    """What rows are to be taken for."""

    format: Format
    columns: tuple[MappedColumn, ...]
    ignored: tuple[str, ...] = ()

    def as_input(self) -> dict[str, object]:
        """The API's input."""
        return self.model_dump(mode="json", by_alias=True)


class LeftOutColumn(Record):
    """What rows had and their records have not."""

    column: str
    rows: int


class Rejected(Record):
    """A row that was not taken, by the line on which it begins, counted from 1."""

    line: int
    code: str
    message: str


class HubSplit(Record):
    """A split of the Hugging Face hub that is wanted, at its newest commit where none is said."""

    id: str
    split: str = "train"
    config: str | None = None
    revision: str | None = None

    def as_input(self) -> dict[str, object]:
        """The API's input."""
        return self.model_dump(mode="json", by_alias=True)


class UploadSource(Record):
    """A file that a dataset was made of."""

    kind: Literal["UploadSource"] = Field("UploadSource", alias="__typename")
    name: str
    size_bytes: int | None
    division: Division


class HubSource(Record):
    """A split of the hub that a dataset was made of; its commit is null until it was fetched."""

    kind: Literal["HubSource"] = Field("HubSource", alias="__typename")
    id: str
    config: str | None
    split: str
    revision: str | None
    commit: str | None
    partial: bool
    size_bytes: int | None


DatasetSource: TypeAlias = Annotated[UploadSource | HubSource, Field(discriminator="kind")]


class Removal(Record):
    """Records of its parent that a dataset lacks for one reason; the first of their lines."""

    cause: Cause
    finding: Code | None
    count: int
    lines: tuple[int, ...]


class ExaminedTokens(Record):
    """The look at tokens by which records went, as it was then."""

    model: str
    chat_template: str | None
    train_on: TrainOn
    max_sequence_length: int


class DatasetDerivation(Record):
    """How many records a dataset has more and fewer than its parent, and why."""

    added: int
    removed: int
    removals: tuple[Removal, ...]
    examined_tokens: ExaminedTokens | None


class Dataset(Record):
    """A dataset as it stands; what is not known of it before it is READY is null."""

    id: str
    name: str
    version: int
    """Its number in its line of descent."""
    status: TaskStatus
    progress: float
    error: Failure | None
    data_type: DataType | None
    record_count: int
    size_bytes: int
    sha256: str | None
    created_at: datetime
    source: DatasetSource | None = None
    container: Container | None = None
    compression: Compression | None = None
    mapping: DatasetMapping | None = None
    left_out: tuple[LeftOutColumn, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    """The first of them, where they were asked for."""
    rejected_count: int = 0
    derivation: DatasetDerivation | None = None
    download_url: str | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """The dataset in an answer that has a page of rejected rows."""
        page = answer["rejected"]
        rejected = [edge["node"] for edge in page["edges"]]
        return cls.model_validate(
            {**answer, "rejected": rejected, "rejectedCount": page["totalCount"]}
        )


class DeletedDataset(Record):
    """What a deletion removed."""

    id: str
    deleted_rows: int
    freed_bytes: int


class InspectedRow(Record):
    """One of the first rows, and the record that it becomes."""

    line: int
    raw: Any
    record: Any
    rejected: Rejected | None


class Inspection(Record):
    """What an upload would be taken for."""

    container: Container | None
    compression: Compression | None
    mapping: DatasetMapping | None
    sampled_rows: int
    rows: Sequence[InspectedRow]
    rejected: tuple[Rejected, ...]
    left_out: tuple[LeftOutColumn, ...]
    problem: Failure | None
