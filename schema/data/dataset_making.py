"""Making datasets, and removing them."""

from typing import Annotated, TypeAlias
from uuid import UUID

import strawberry

from jobs.data import datasets, deletion, hub_datasets
from jobs.data.datasets import OnInvalid
from jobs.models import Dataset as DatasetRow
from schema import ids
from schema.context import Info
from schema.data.dataset_sources import (
    DatasetSourceInput,
    Division,
    HubDatasetInput,
    refuse_division,
)
from schema.data.datasets import Dataset
from schema.data.mappings import DatasetMappingInput
from schema.enums import DataType, Role
from schema.permissions import Requires
from schema.problems import ConflictProblem, InvalidProblem, NotFoundProblem
from schema.scalars import BigInt
from training.data.formats.mapping import Mapping

__all__ = ["DatasetMutations"]


@strawberry.input(description="A dataset to be made.")
class CreateDatasetInput:
    name: str = strawberry.field(description="1 to 100 characters.")
    description: str | None = strawberry.field(default=None, description="Whatever helps.")
    source: DatasetSourceInput = strawberry.field(description="Where the records come from.")
    data_type: DataType | None = strawberry.field(
        default=None,
        description="The type that the records must come to; whatever their format makes of them, if "
        "left out.",
    )
    mapping: DatasetMappingInput | None = strawberry.field(
        default=None,
        description="What the rows are to be taken for; found from the first 100 of them, if left out. "
        "`inspectUpload` shows it beforehand.",
    )
    division: Division = strawberry.field(
        default=Division.PASSAGES,
        description="How to cut an upload that is plain text. Anything else is refused as "
        "DIVISION_WITHOUT_EFFECT unless this is PASSAGES, or WHOLE of source code.",
    )
    on_invalid: OnInvalid = strawberry.field(
        default=OnInvalid.ERROR, description="What to do where some records are invalid."
    )


@strawberry.type(description="What a deletion removed.")
class DeletedDataset:
    id: strawberry.ID = strawberry.field(description="The id that the dataset had.")
    deleted_rows: int = strawberry.field(description="Rows removed from the database.")
    freed_bytes: BigInt = strawberry.field(description="Bytes of files removed.")


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
class DatasetMutations:
    @strawberry.mutation(
        description="Make a dataset; every record is checked first. Records that are sent along are "
        "stored at once; an upload, or a split of the hub, is taken in by a worker.",
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
        mapping = None if sent.mapping is None else sent.mapping.mapping(["mapping"])
        if isinstance(sent.source.upload_id, str):
            upload_id = ids.decode(ids.Kind.UPLOAD, sent.source.upload_id)
            return Dataset.of(await _ingest(info, sent, upload_id, mapping))
        refuse_division(sent.division)
        if isinstance(sent.source.hub, HubDatasetInput):
            return Dataset.of(await _fetch(info, sent, sent.source.hub, mapping))
        draft = datasets.Draft(
            name=sent.name,
            description=sent.description,
            data_type=sent.data_type,
            records=sent.source.records or [],
            on_invalid=sent.on_invalid,
            mapping=mapping,
        )
        row = await datasets.create(
            info.context.viewer, draft, artifacts=info.context.service.artifacts
        )
        return Dataset.of(row)

    @strawberry.mutation(
        description="Remove a dataset and its files; refused while an unfinished job needs it. One that "
        "is being made is made no further, and its upload stays.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def delete_dataset(self, info: Info, dataset_id: DatasetId) -> DeleteDatasetResult:
        deleted = await deletion.delete(
            info.context.viewer,
            ids.decode(ids.Kind.DATASET, dataset_id),
            artifacts=info.context.service.artifacts,
        )
        return DeletedDataset(
            id=dataset_id,
            deleted_rows=deleted.deleted_rows,
            freed_bytes=BigInt(deleted.freed_bytes),
        )


async def _ingest(
    info: Info, sent: CreateDatasetInput, upload_id: UUID, mapping: Mapping | None
) -> DatasetRow:
    service = info.context.service
    draft = datasets.UploadDraft(
        name=sent.name,
        description=sent.description,
        upload_id=upload_id,
        data_type=sent.data_type,
        on_invalid=sent.on_invalid,
        mapping=mapping,
        division=sent.division,
    )
    return await datasets.ingest(
        info.context.viewer, draft, settings=service.settings, queue=service.queue
    )


async def _fetch(
    info: Info, sent: CreateDatasetInput, hub: HubDatasetInput, mapping: Mapping | None
) -> DatasetRow:
    service = info.context.service
    draft = hub_datasets.HubDraft(
        name=sent.name,
        description=sent.description,
        id=hub.id,
        split=hub.split,
        config=hub.config,
        revision=hub.revision,
        data_type=sent.data_type,
        on_invalid=sent.on_invalid,
        mapping=mapping,
    )
    return await hub_datasets.fetch(
        info.context.viewer, draft, settings=service.settings, queue=service.queue
    )
