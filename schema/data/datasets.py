"""Datasets: what to train on."""

from datetime import datetime
from typing import Annotated
from urllib.parse import quote

import strawberry

from jobs.data import dataset_files, datasets
from jobs.data.datasets import OnInvalid
from jobs.models import Dataset as DatasetRow
from jobs.pages import Page
from schema import ids, numbered
from schema.accounts import User
from schema.context import Info
from schema.data.dataset_reports import Examined
from schema.data.dataset_sources import DatasetSource, source_of
from schema.data.dataset_versions import Descended
from schema.data.mappings import (
    Compression,
    Container,
    DatasetMapping,
    LeftOutColumn,
    left_out_columns,
)
from schema.data.token_examinations import ExaminedInTokens
from schema.enums import DataType, Role, TaskStatus, describe
from schema.nodes import Failure, Node, failure, required
from schema.pagination import After, Connection, First, connection
from schema.permissions import Requires
from schema.problems import NullIfNotFound
from schema.scalars import JSON, BigInt
from training.data.records import Rejected, Statistics

__all__ = ["Dataset", "DatasetQueries", "Record", "RejectedRecord"]

describe(
    OnInvalid,
    "What to do where some records are invalid.",
    {
        "ERROR": "Refuse the whole dataset and name every bad record.",
        "DROP": "Take the good ones; the others are kept apart as `rejected`, by line and reason.",
    },
)


@strawberry.type(description="How long the records are.")
class Percentile:
    percentile: float = strawberry.field(description="The share of records, 0 to 100, …")
    value: int = strawberry.field(description="… that have at most so many characters.")


@strawberry.type(description="What a dataset holds, counted when it was made.")
class DatasetStatistics:
    records: int = strawberry.field(description="How many records there are.")
    characters: BigInt = strawberry.field(description="Characters of content, keys not counted.")
    duplicates: int = strawberry.field(description="Records that are equal to an earlier one.")
    turns: int | None = strawberry.field(
        description="Messages over all conversations; null unless the type is CHAT."
    )
    length_percentiles: list[Percentile] = strawberry.field(
        description="Lengths of records in characters."
    )

    @classmethod
    def of(cls, stored: Statistics) -> "DatasetStatistics":
        return cls(
            records=stored.records,
            characters=BigInt(stored.characters),
            duplicates=stored.duplicates,
            turns=stored.turns,
            length_percentiles=[
                Percentile(percentile=float(percentile), value=value)
                for percentile, value in stored.length_percentiles
            ],
        )


@strawberry.type(description="A record that was not taken.")
class RejectedRecord:
    line: int = strawberry.field(
        description="Its place among the records sent or, in a file, the line on which it begins; "
        "from 1."
    )
    code: str = strawberry.field(description="Why, for programs.")
    message: str = strawberry.field(description="Why, for people.")
    excerpt: str = strawberry.field(description="Its beginning.")

    @classmethod
    def of(cls, rejected: Rejected) -> "RejectedRecord":
        return cls(**rejected.model_dump())


@strawberry.type(description="A stored record.")
class Record:
    line: int = strawberry.field(description="Its place in the dataset, from 1.")
    content: JSON = strawberry.field(description="The record, in its type's shape.")


@strawberry.type(description="Records of one shape, to train on.")
class Dataset(Node, Descended, Examined, ExaminedInTokens):
    name: str = strawberry.field(description="What its owner calls it.")
    description: str | None = strawberry.field(description="What its owner says of it.")
    status: TaskStatus = strawberry.field(
        description="READY once all its records are stored; only then can it be trained on."
    )
    progress: float = strawberry.field(
        description="How much of its source was fetched and read, 0 to 100."
    )
    error: Failure | None = strawberry.field(
        description="Why it FAILED. Its upload is kept then, to be tried again."
    )
    data_type: DataType | None = strawberry.field(
        description="The shape of its records; null until it is known."
    )
    record_count: int = strawberry.field(description="How many records it has; 0 until READY.")
    size_bytes: BigInt = strawberry.field(
        description="The size of its records as JSONL; 0 until READY."
    )
    sha256: str | None = strawberry.field(
        description="Of its records as JSONL; equal content, equal sum. Null until READY."
    )
    source: DatasetSource | None = strawberry.field(
        description="What it was made of, or what was added where it is derived; null for records that "
        "were sent inline or another has."
    )
    container: Container | None = strawberry.field(
        description="What that file was; null without one, or until it is known."
    )
    compression: Compression | None = strawberry.field(
        description="What that file was compressed by; null where by nothing."
    )
    mapping: DatasetMapping | None = strawberry.field(
        description="What its rows were taken for; null until it is known, and for a dataset made "
        "before mappings were kept."
    )
    left_out: list[LeftOutColumn] = strawberry.field(
        description="What rows had and the records have not, most rows first."
    )
    on_invalid: OnInvalid = strawberry.field(
        description="What was to be done where some records are invalid."
    )
    created_at: datetime = strawberry.field(description="When it was asked for.")

    @classmethod
    def of(cls, row: DatasetRow) -> "Dataset":
        return cls(
            id=ids.encode(ids.Kind.DATASET, row.id),
            name=row.name,
            description=row.description,
            status=row.status,
            progress=row.progress,
            error=failure(row.error),
            data_type=row.data_type,
            record_count=row.record_count,
            size_bytes=BigInt(row.size_bytes),
            sha256=row.sha256,
            source=source_of(row),
            container=None if row.container is None else Container(row.container),
            compression=None if row.compression is None else Compression(row.compression),
            mapping=DatasetMapping.of_stored(row.mapping),
            left_out=left_out_columns(row.left_out),
            on_invalid=row.on_invalid,
            created_at=row.created_at,
            row=row,
        )

    @strawberry.field(description="What it holds, in figures; null until READY.")
    def statistics(self) -> DatasetStatistics | None:
        stored = self.row.statistics
        if stored is None:
            return None
        return DatasetStatistics.of(Statistics.model_validate(stored))

    @strawberry.field(
        description="Where to fetch its records as canonical JSONL without further proof, for some "
        "minutes; a path on this server. Made a dataset again, they have the same `sha256`. Null "
        "until READY."
    )
    def download_url(self, info: Info) -> str | None:
        if self.row.status is not TaskStatus.READY:
            return None
        return f"/downloads/records/{quote(info.context.service.tokens.sign_records(self.row.id))}"

    @strawberry.field(
        description="The rows that were not taken, in order: all of them, also where they are why it "
        "FAILED."
    )
    async def rejected(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[RejectedRecord]:
        found = await dataset_files.rejected(
            self.row,
            first=first,
            after=numbered.start(first, after),
            artifacts=info.context.service.artifacts,
        )
        rows = [(number, RejectedRecord.of(row)) for number, row in found]
        return numbered.connection(rows, after=after, total=self.row.rejected_count)

    @strawberry.field(description="The records, in order; none until READY.")
    async def records(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Record]:
        start = numbered.start(first, after)
        lines = await dataset_files.records(
            self.row, first=first, after_line=start, artifacts=info.context.service.artifacts
        )
        rows = [(line, Record(line=line, content=JSON(content))) for line, content in lines]
        return numbered.connection(rows, after=after, total=self.record_count)

    @strawberry.field(description="Whose it is.")
    async def owner(self, info: Info) -> User:
        return required(await info.context.loaders.users.load(self.row.owner_id))


@strawberry.type
class DatasetQueries:
    @strawberry.field(
        description="Your datasets, newest first; everybody's for an ADMIN.",
        extensions=[Requires(Role.VIEWER)],
    )
    async def list_datasets(
        self,
        info: Info,
        user_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only those of this account.")
        ] = None,
        data_type: Annotated[
            DataType | None, strawberry.argument(description="Only those of this type.")
        ] = None,
        first: First = 20,
        after: After = None,
    ) -> Connection[Dataset]:
        rows = await datasets.listing(
            info.context.viewer,
            Page.of(first, after),
            user_id=None if user_id is None else ids.decode(ids.Kind.USER, user_id),
            data_type=data_type,
        )
        return connection(rows, Dataset.of, after=after)

    @strawberry.field(
        description="One dataset; null where there is none that you may see.",
        extensions=[Requires(Role.VIEWER), NullIfNotFound()],
    )
    async def get_dataset(
        self,
        info: Info,
        dataset_id: Annotated[
            strawberry.ID, strawberry.argument(name="id", description="A dataset's id.")
        ],
    ) -> Dataset | None:
        key = ids.decode(ids.Kind.DATASET, dataset_id)
        return Dataset.of(await datasets.get(info.context.viewer, key))
