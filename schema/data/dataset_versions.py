"""Datasets in their lines of descent: what each was derived from, and what from it."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias
from uuid import UUID

import strawberry

from jobs.data import lineage
from jobs.models import Dataset as DatasetRow
from jobs.models import DatasetVersion as VersionRow
from jobs.pages import Page
from schema import numbered
from schema.context import Info
from schema.data.data_findings import Code
from schema.enums import TaskStatus, TrainOn, describe
from schema.nodes import required
from schema.pagination import After, Connection, First, from_nodes
from training.data import derivation
from training.data.derivation import Cause, Changes, Removal

if TYPE_CHECKING:  # a dataset has versions and a version its dataset: a circle of types only
    from schema.data.datasets import Dataset

__all__ = ["DatasetDerivation", "DatasetVersion", "Descended"]

DatasetOfLine: TypeAlias = Annotated["Dataset", strawberry.lazy("schema.data.datasets")]


describe(
    Cause,
    "Why records are not in a dataset that was derived.",
    {
        "LINES": "Their lines were named.",
        "FINDING": "The doctor had found them so, or their tokens.",
        "DUPLICATE": "They were equal to an earlier one that stayed.",
    },
    name="RemovalCause",
)


@strawberry.type(description="Lines of a dataset, both ends included.")
class LineRange:
    first: int = strawberry.field(description="The first line, counted from 1.")
    last: int = strawberry.field(description="The last line.")


@strawberry.type(
    description="A dataset in a line of descent, known for as long as one lives that descends from it."
)
class DatasetVersion:
    number: int = strawberry.field(description="Its place in the line, from 1.")
    name: str = strawberry.field(description="What its owner called it.")
    sha256: str = strawberry.field(description="Of its records as JSONL.")
    record_count: int = strawberry.field(description="How many records it had.")
    row: strawberry.Private[VersionRow]

    @classmethod
    def of(cls, row: VersionRow) -> "DatasetVersion":
        return cls(
            number=row.number,
            name=row.name,
            sha256=row.sha256,
            record_count=row.record_count,
            row=row,
        )

    @strawberry.field(
        description="The dataset; null once it was deleted, or if you may not see it."
    )
    async def dataset(self, info: Info) -> DatasetOfLine | None:
        if self.row.dataset_id is None:
            return None
        return await info.context.loaders.datasets.load(self.row.dataset_id)


@strawberry.type(description="Records of the parent that were left out for one reason.")
class DatasetRemoval:
    cause: Cause = strawberry.field(description="Why.")
    finding: Code | None = strawberry.field(
        description="What was found of them, where that is why; else null."
    )
    count: int = strawberry.field(description="How many records.")
    lines: list[int] = strawberry.field(
        description="Their places in the parent, from 1: the first 100 of them."
    )

    @classmethod
    def of(cls, removal: Removal) -> "DatasetRemoval":
        return cls(
            cause=removal.cause,
            finding=removal.finding,
            count=removal.count,
            lines=list(removal.lines),
        )


@strawberry.type(description="The dataset whose records were added, as it was then.")
class AddedDataset:
    name: str = strawberry.field(description="What its owner called it.")
    sha256: str = strawberry.field(description="Of its records as JSONL.")


@strawberry.type(
    description="The look at the parent's tokens by which records were left out, as it was then."
)
class ExaminedTokens:
    model: str = strawberry.field(description="Whose tokens, by the model's name.")
    chat_template: str | None = strawberry.field(
        description="The template that was chosen, by name or text; null for the model's own."
    )
    train_on: TrainOn = strawberry.field(description="Which part of a record was trained.")
    max_sequence_length: int = strawberry.field(
        description="The limit that rows were compared with, in tokens."
    )

    @classmethod
    def of(cls, found: derivation.ExaminedTokens) -> "ExaminedTokens":
        return cls(**found.model_dump(exclude={"key"}))


@strawberry.type(description="How a dataset was made of another.")
class DatasetDerivation:
    parent: DatasetVersion = strawberry.field(description="What it was made of.")
    derived_at: datetime = strawberry.field(description="When it was made.")
    added: int = strawberry.field(description="How many records are new.")
    added_dataset: AddedDataset | None = strawberry.field(
        description="Whose records these are, where they are another dataset's."
    )
    removed: int = strawberry.field(description="How many records of the parent it lacks.")
    removals: list[DatasetRemoval] = strawberry.field(
        description="The same by reason, each record once for the first that it met; none for a "
        "dataset made before reasons were kept."
    )
    examined_tokens: ExaminedTokens | None = strawberry.field(
        description="Where records went for what was found in their tokens: in which."
    )
    added_lines: LineRange | None = strawberry.field(
        description="The lines of the new records; null where there are none."
    )
    removed_lines: list[LineRange] = strawberry.field(
        description="Lines of the parent that it lacks, in order: the first 1000 ranges of them."
    )
    removed_lines_complete: bool = strawberry.field(
        description="Whether there are no more ranges; `compareDatasets` names all lines."
    )

    @classmethod
    def of(cls, row: VersionRow) -> "DatasetDerivation | None":
        if row.parent is None or row.changes is None:
            return None
        changes = Changes.model_validate(row.changes)
        first_new = row.record_count - changes.added + 1
        return cls(
            parent=DatasetVersion.of(row.parent),
            derived_at=row.created_at,
            added=changes.added,
            added_dataset=None
            if changes.added_dataset is None
            else AddedDataset(**changes.added_dataset.model_dump()),
            removed=changes.removed,
            removals=[DatasetRemoval.of(each) for each in changes.removals],
            examined_tokens=None
            if changes.examined_tokens is None
            else ExaminedTokens.of(changes.examined_tokens),
            added_lines=LineRange(first=first_new, last=row.record_count)
            if changes.added
            else None,
            removed_lines=[LineRange(**each._asdict()) for each in changes.removed_lines],
            removed_lines_complete=changes.removed_lines_complete,
        )


@strawberry.type
class Descended:
    """The fields of a dataset that tell its descent."""

    row: strawberry.Private[DatasetRow]

    @strawberry.field(
        description="Its number in its line of descent; 1 if it was not derived, or is not READY."
    )
    async def version(self, info: Info) -> int:
        version = await info.context.loaders.dataset_versions.load(self.row.id)
        return 1 if version is None else version.number

    @strawberry.field(
        description="The dataset it was derived from; null if there is none, or none any more that "
        "you may see: `derivation` tells what it was."
    )
    async def parent(self, info: Info) -> DatasetOfLine | None:
        parent_id = await self._parent_id(info)
        return None if parent_id is None else await info.context.loaders.datasets.load(parent_id)

    async def _parent_id(self, info: Info) -> UUID | None:
        if self.row.status is not TaskStatus.READY:
            planned = await info.context.loaders.derivations.load(self.row.id)
            return None if planned is None else planned.parent_id
        version = await info.context.loaders.dataset_versions.load(self.row.id)
        return None if version is None or version.parent is None else version.parent.dataset_id

    @strawberry.field(description="How it was derived; null if it was not, or is not READY.")
    async def derivation(self, info: Info) -> DatasetDerivation | None:
        version = await info.context.loaders.dataset_versions.load(self.row.id)
        return None if version is None else DatasetDerivation.of(version)

    @strawberry.field(description="Those derived from it directly that you may see, newest first.")
    async def children(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[DatasetOfLine]:
        page = Page.of(first, after)
        rows = await lineage.children(info.context.viewer, self.row.id, page)
        found = await info.context.loaders.datasets.load_many([row.id for row in rows.rows])
        return from_nodes(
            [required(each) for each in found],
            rows.cursors,
            has_next=rows.has_next,
            after=after,
            count=rows.count,
        )

    @strawberry.field(description="Its line of descent, from the first dataset to itself.")
    async def lineage(self, first: First = 20, after: After = None) -> Connection[DatasetVersion]:
        start = numbered.start(first, after)
        line = await lineage.line_of(self.row)
        rows = [(each.number, DatasetVersion.of(each)) for each in line[start : start + first]]
        return numbered.connection(rows, after=after, total=len(line))
