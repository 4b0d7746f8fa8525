"""Datasets: what to train on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypeAlias

import strawberry

from jobs import datasets
from jobs.datasets import OnInvalid
from jobs.models import Dataset as DatasetRow
from jobs.pages import Page
from schema import ids, numbered
from schema.accounts import User
from schema.context import Info
from schema.dataset_versions import Descended
from schema.enums import DataType, Role, describe
from schema.nodes import Node, required
from schema.pagination import After, Connection, First, connection
from schema.permissions import Requires
from schema.problems import ConflictProblem, InvalidProblem, NotFoundProblem, NullIfNotFound
from schema.scalars import JSON, BigInt
from training.data.records import Rejected, Statistics

__all__ = ["Dataset", "DatasetMutations", "DatasetQueries", "Record"]

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
    line: int = strawberry.field(description="Its place among the records sent, from 1.")
    code: str = strawberry.field(description="Why, for programs.")
    message: str = strawberry.field(description="Why, for people.")
    excerpt: str = strawberry.field(description="Its beginning.")


@strawberry.type(description="A stored record.")
class Record:
    line: int = strawberry.field(description="Its place in the dataset, from 1.")
    content: JSON = strawberry.field(description="The record, in its type's shape.")


@strawberry.type(description="Records of one shape, to train on.")
class Dataset(Node, Descended):
    name: str = strawberry.field(description="What its owner calls it.")
    description: str | None = strawberry.field(description="What its owner says of it.")
    data_type: DataType = strawberry.field(description="The shape of its records.")
    record_count: int = strawberry.field(description="How many records it has.")
    size_bytes: BigInt = strawberry.field(description="The size of its records as JSONL.")
    sha256: str = strawberry.field(description="Of its records as JSONL; equal content, equal sum.")
    created_at: datetime = strawberry.field(description="When it was made.")

    @classmethod
    def of(cls, row: DatasetRow) -> "Dataset":
        return cls(
            id=ids.encode(ids.Kind.DATASET, row.id),
            name=row.name,
            description=row.description,
            data_type=row.data_type,
            record_count=row.record_count,
            size_bytes=BigInt(row.size_bytes),
            sha256=row.sha256,
            created_at=row.created_at,
            row=row,
        )

    @strawberry.field(description="What it holds, in figures.")
    def statistics(self) -> DatasetStatistics:
        return DatasetStatistics.of(Statistics.model_validate(self.row.statistics))

    @strawberry.field(description="The records that were sent and not taken, in order.")
    def rejected(self, first: First = 20, after: After = None) -> Connection[RejectedRecord]:
        start = numbered.start(first, after)
        rows = [
            (start + number, RejectedRecord(**Rejected.model_validate(item).model_dump()))
            for number, item in enumerate(self.row.rejected[start : start + first], 1)
        ]
        return numbered.connection(rows, after=after, total=len(self.row.rejected))

    @strawberry.field(description="The records, in order.")
    async def records(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Record]:
        start = numbered.start(first, after)
        lines = await datasets.records(
            self.row, first=first, after_line=start, artifacts=info.context.service.artifacts
        )
        rows = [(line, Record(line=line, content=JSON(content))) for line, content in lines]
        return numbered.connection(rows, after=after, total=self.record_count)

    @strawberry.field(description="Whose it is.")
    async def owner(self, info: Info) -> User:
        return required(await info.context.loaders.users.load(self.row.owner_id))


@strawberry.input(description="Where the records come from; exactly one is given.", one_of=True)
class DatasetSourceInput:
    records: list[JSON] | None = strawberry.field(
        default=strawberry.UNSET, description="The records themselves, in their type's shape."
    )
    upload_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="An upload that is READY: JSONL in UTF-8, one record a line. It is gone once the "
        "dataset is made.",
    )


@strawberry.input(description="A dataset to be made.")
class CreateDatasetInput:
    name: str = strawberry.field(description="1 to 100 characters.")
    description: str | None = strawberry.field(default=None, description="Whatever helps.")
    data_type: DataType = strawberry.field(description="The shape that every record must have.")
    source: DatasetSourceInput = strawberry.field(description="Where the records come from.")
    on_invalid: OnInvalid = strawberry.field(
        default=OnInvalid.ERROR, description="What to do where some records are invalid."
    )


@strawberry.type(description="What a deletion removed.")
class DeletedDataset:
    id: strawberry.ID = strawberry.field(description="The id that the dataset had.")
    deleted_rows: int = strawberry.field(description="Rows removed from the database.")
    freed_bytes: BigInt = strawberry.field(description="Bytes of files removed.")


def _records(source: DatasetSourceInput) -> Sequence[object] | datasets.Uploaded:
    if isinstance(source.upload_id, str):
        return datasets.Uploaded(ids.decode(ids.Kind.UPLOAD, source.upload_id))
    return source.records or []


CreateDatasetResult: TypeAlias = Annotated[
    Dataset | InvalidProblem | NotFoundProblem | ConflictProblem,
    strawberry.union("CreateDatasetResult", description="The new dataset, or why there is none."),
]
DeleteDatasetResult: TypeAlias = Annotated[
    DeletedDataset | ConflictProblem | NotFoundProblem,
    strawberry.union("DeleteDatasetResult", description="What was removed, or why nothing was."),
]
DatasetId: TypeAlias = Annotated[strawberry.ID, strawberry.argument(description="A dataset's id.")]


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


@strawberry.type
class DatasetMutations:
    @strawberry.mutation(
        description="Make a dataset; every record is checked first.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def create_dataset(
        self,
        info: Info,
        sent: Annotated[
            CreateDatasetInput,
            strawberry.argument(name="input", description="The dataset to make."),
        ],
    ) -> CreateDatasetResult:
        draft = datasets.Draft(
            name=sent.name,
            description=sent.description,
            data_type=sent.data_type,
            records=_records(sent.source),
            on_invalid=sent.on_invalid,
        )
        row = await datasets.create(
            info.context.viewer, draft, artifacts=info.context.service.artifacts
        )
        return Dataset.of(row)

    @strawberry.mutation(
        description="Remove a dataset and its files; refused while an unfinished job needs it.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def delete_dataset(self, info: Info, dataset_id: DatasetId) -> DeleteDatasetResult:
        deleted = await datasets.delete(
            info.context.viewer,
            ids.decode(ids.Kind.DATASET, dataset_id),
            artifacts=info.context.service.artifacts,
        )
        return DeletedDataset(
            id=dataset_id,
            deleted_rows=deleted.deleted_rows,
            freed_bytes=BigInt(deleted.freed_bytes),
        )
