"""A look at an upload before a dataset is made of it."""

from typing import Annotated

import strawberry

from schema import ids
from schema.context import Info
from schema.data.dataset_sources import Division
from schema.data.datasets import RejectedRecord
from schema.data.mappings import (
    Compression,
    Container,
    DatasetMapping,
    DatasetMappingInput,
    LeftOutColumn,
    left_out_columns,
)
from schema.enums import Role
from schema.nodes import Failure
from schema.permissions import Requires
from schema.problems import NullIfNotFound
from schema.scalars import JSON
from training.data.ingest import spec

__all__ = ["InspectionQueries"]


@strawberry.type(description="One of the first rows of a file, and what becomes of it.")
class InspectedRow:
    line: int = strawberry.field(description="Where it begins in the file, from 1.")
    raw: JSON | None = strawberry.field(
        description="The row as the file has it, long texts and lists cut; null if it is unreadable."
    )
    record: JSON | None = strawberry.field(
        description="The record that it becomes, cut likewise; null if it becomes none."
    )
    rejected: RejectedRecord | None = strawberry.field(description="Why it becomes none.")

    @classmethod
    def of(cls, row: spec.InspectedRow) -> "InspectedRow":
        return cls(
            line=row.line,
            raw=None if row.raw is None else JSON(row.raw),
            record=None if row.record is None else JSON(row.record),
            rejected=None if row.rejected is None else RejectedRecord.of(row.rejected),
        )


@strawberry.type(description="What an upload would be taken for, told from its beginning.")
class UploadInspection:
    container: Container | None = strawberry.field(
        description="How it holds its rows; null where that cannot be told."
    )
    compression: Compression | None = strawberry.field(
        description="What it is compressed by; null where by nothing."
    )
    mapping: DatasetMapping | None = strawberry.field(
        description="The mapping that was sent or found; null where none can be told."
    )
    sampled_rows: int = strawberry.field(description="How many rows were looked at, at most 100.")
    rows: list[InspectedRow] = strawberry.field(description="The first of them, at most 5.")
    rejected: list[RejectedRecord] = strawberry.field(
        description="Those of the sampled rows that become no record."
    )
    left_out: list[LeftOutColumn] = strawberry.field(
        description="What the sampled rows have and their records have not."
    )
    problem: Failure | None = strawberry.field(
        description="Why no dataset can be made of it as it stands, such as FORMAT_AMBIGUOUS, which "
        "names both formats; most are settled by a mapping."
    )

    @classmethod
    def of(cls, found: spec.Inspection) -> "UploadInspection":
        problem = found.problem
        return cls(
            container=found.container,
            compression=found.compression,
            mapping=None if found.mapping is None else DatasetMapping.of(found.mapping),
            sampled_rows=found.sampled_rows,
            rows=[InspectedRow.of(row) for row in found.rows],
            rejected=[RejectedRecord.of(row) for row in found.rejected],
            left_out=left_out_columns(found.left_out),
            problem=None if problem is None else Failure(**problem.model_dump()),
        )


@strawberry.type
class InspectionQueries:
    @strawberry.field(
        description="What `createDataset` would take an upload for, by the mapping that is sent or the "
        "one that is found; null where there is no upload that you may see.",
        extensions=[Requires(Role.TRAINER), NullIfNotFound()],
    )
    async def inspect_upload(
        self,
        info: Info,
        upload_id: Annotated[
            strawberry.ID, strawberry.argument(description="An upload that is READY.")
        ],
        mapping: Annotated[
            DatasetMappingInput | None,
            strawberry.argument(description="A mapping to try; found where there is none."),
        ] = None,
        division: Annotated[
            Division, strawberry.argument(description="How to cut it if it is plain text.")
        ] = Division.PASSAGES,
    ) -> UploadInspection | None:
        found = await info.context.service.inspector.inspect(
            info.context.viewer,
            ids.decode(ids.Kind.UPLOAD, upload_id),
            mapping=None if mapping is None else mapping.mapping(["mapping"]),
            division=division,
        )
        return UploadInspection.of(found)
