"""Making datasets of others, and comparing two."""

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import strawberry

from jobs.data import comparisons, derivation, leaks
from jobs.data.comparisons import Comparison
from jobs.data.datasets import OnInvalid
from jobs.models import Dataset as DatasetRow
from schema import ids, numbered
from schema.context import Info
from schema.data.dataset_outcomes import DataStrategyInput
from schema.data.dataset_sources import Division, refuse_division
from schema.data.datasets import Dataset, Record
from schema.data.leaks import DatasetLeaks
from schema.data.mappings import DatasetMappingInput
from schema.enums import Role
from schema.pagination import After, Connection, First
from schema.permissions import Requires
from schema.problems import ConflictProblem, InvalidProblem, NotFoundProblem, NullIfNotFound
from schema.scalars import JSON
from training.data import derivation as training

__all__ = ["DerivationMutations", "DerivationQueries"]


@strawberry.input(description="Lines of the parent, both ends included.")
class LinesInput:
    first: int = strawberry.field(description="The first line, counted from 1.")
    last: int | None = strawberry.field(
        default=None, description="The last line; the first alone, where left out."
    )

    def range(self) -> training.LineRange:
        return training.LineRange(self.first, self.first if self.last is None else self.last)


@strawberry.input(
    description="Records to leave out of the parent's, each for the first of these that it meets."
)
class RemoveRecordsInput:
    lines: list[LinesInput] | None = strawberry.field(
        default=None, description="By their lines in the parent."
    )
    strategies: list[DataStrategyInput] | None = strawberry.field(
        default=None,
        description="By what was found of them, each as a record of the whole parent; where nobody has "
        "looked yet, it is looked for. ERROR makes the dataset FAILED where a record that stays has "
        "it. `outcome` of the parent's `report` tells beforehand, and that of a token examination's.",
    )
    token_examination_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="Where strategies are about what is found in tokens: the look at the parent's, which "
        "must be READY, by `examineDataset` with a model.",
    )
    duplicates: bool = strawberry.field(
        default=False,
        description="Whether to leave out every record that is equal to an earlier one that stays.",
    )


@strawberry.input(
    description="Records to add behind those that stay; exactly one is given.", one_of=True
)
class AddRecordsInput:
    records: list[JSON] | None = strawberry.field(
        default=strawberry.UNSET,
        description="The records themselves, in any format that makes the parent's type of them.",
    )
    upload_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="An upload that is READY, of any size and kind that `createDataset` takes. It is "
        "gone once the dataset is READY, and kept if that FAILED.",
    )
    dataset_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="All records of another dataset of the same type, which stays.",
    )


@strawberry.input(
    description="A dataset to be made of another. Removal comes first, and looks at the parent's "
    "records alone."
)
class DeriveDatasetInput:
    parent_id: strawberry.ID = strawberry.field(description="The dataset to start from; it stays.")
    name: str | None = strawberry.field(
        default=None, description="1 to 100 characters; the parent's name, where left out."
    )
    description: str | None = strawberry.field(
        default=None, description="Whatever helps; the parent's, where left out."
    )
    remove: RemoveRecordsInput | None = strawberry.field(
        default=None, description="What to leave out; nothing, where left out."
    )
    add: AddRecordsInput | None = strawberry.field(
        default=None, description="What to add; nothing, where left out."
    )
    mapping: DatasetMappingInput | None = strawberry.field(
        default=None,
        description="What the rows to add are to be taken for; found from the first 100 of them, if left "
        "out.",
    )
    division: Division = strawberry.field(
        default=Division.PASSAGES,
        description="How to cut an upload that is plain text; as for `createDataset`.",
    )
    on_invalid: OnInvalid = strawberry.field(
        default=OnInvalid.ERROR, description="What to do where some records to add are invalid."
    )

    def draft(self) -> derivation.DerivationDraft:
        remove = self.remove or RemoveRecordsInput()
        add = self.add or AddRecordsInput()
        if not add.upload_id:
            refuse_division(self.division)
        return derivation.DerivationDraft(
            parent_id=ids.decode(ids.Kind.DATASET, self.parent_id),
            name=self.name,
            description=self.description,
            remove=[each.range() for each in remove.lines or ()],
            strategies=[each.choice() for each in remove.strategies or ()],
            token_examination_id=None
            if remove.token_examination_id is None
            else ids.decode(ids.Kind.EXAMINATION, remove.token_examination_id),
            remove_duplicates=remove.duplicates,
            records=add.records or (),
            upload_id=ids.decode(ids.Kind.UPLOAD, add.upload_id) if add.upload_id else None,
            added_dataset_id=ids.decode(ids.Kind.DATASET, add.dataset_id)
            if add.dataset_id
            else None,
            mapping=None if self.mapping is None else self.mapping.mapping(["mapping"]),
            division=self.division,
            on_invalid=self.on_invalid,
        )


DeriveDatasetResult: TypeAlias = Annotated[
    Dataset | InvalidProblem | NotFoundProblem | ConflictProblem,
    strawberry.union("DeriveDatasetResult", description="The new dataset, or why there is none."),
]


@strawberry.type(
    description="Two datasets side by side, in whatever order they have their records. Of equal "
    "records as many are shared as both have."
)
class DatasetComparison:
    a: Dataset = strawberry.field(description="The one.")
    b: Dataset = strawberry.field(description="The other.")
    equal: bool = strawberry.field(description="Whether both hold the same records.")
    compared: strawberry.Private[Comparison]

    @classmethod
    def of(cls, compared: Comparison) -> "DatasetComparison":
        return cls(
            a=Dataset.of(compared.a),
            b=Dataset.of(compared.b),
            equal=not compared.lines.only_in_a and not compared.lines.only_in_b,
            compared=compared,
        )

    @strawberry.field(description="Records that only the one has, by their lines there.")
    async def only_in_a(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Record]:
        lines = self.compared.lines.only_in_a
        return await _records(info, self.compared.a, lines, first=first, after=after)

    @strawberry.field(description="Records that only the other has, by their lines there.")
    async def only_in_b(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Record]:
        lines = self.compared.lines.only_in_b
        return await _records(info, self.compared.b, lines, first=first, after=after)

    @strawberry.field(description="Records that both have, by their lines in the one.")
    async def in_both(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Record]:
        lines = self.compared.lines.in_both
        return await _records(info, self.compared.a, lines, first=first, after=after)

    @strawberry.field(description="Which records of `b` are in `a`, too, or nearly.")
    async def leaks(self, info: Info) -> DatasetLeaks:
        service = info.context.service
        found = await leaks.between(
            self.compared.b.id,
            self.compared.a.id,
            artifacts=service.artifacts,
            companion=service.previews,
        )
        return DatasetLeaks.of(found)


async def _records(
    info: Info, dataset: DatasetRow, lines: Sequence[int], *, first: int, after: str | None
) -> Connection[Record]:
    start = numbered.start(first, after)
    found = await comparisons.records(
        dataset, lines[start : start + first], artifacts=info.context.service.artifacts
    )
    rows = [
        (place, Record(line=line, content=JSON(content)))
        for place, (line, content) in enumerate(found, start + 1)
    ]
    return numbered.connection(rows, after=after, total=len(lines))


OneDataset: TypeAlias = Annotated[strawberry.ID, strawberry.argument(description="A dataset's id.")]


@strawberry.type
class DerivationQueries:
    @strawberry.field(
        description="Which records two datasets share, and which only one of them has; null where you "
        "may not see both.",
        extensions=[Requires(Role.VIEWER), NullIfNotFound()],
    )
    async def compare_datasets(
        self, info: Info, a: OneDataset, b: OneDataset
    ) -> DatasetComparison | None:
        compared = await comparisons.compare(
            info.context.viewer,
            ids.decode(ids.Kind.DATASET, a),
            ids.decode(ids.Kind.DATASET, b),
            artifacts=info.context.service.artifacts,
        )
        return DatasetComparison.of(compared)


@strawberry.type
class DerivationMutations:
    @strawberry.mutation(
        description="Make a dataset of another, without some of its records and with more, which a worker "
        "does: follow its `status`. The other stays as it is, and cannot be deleted meanwhile.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def derive_dataset(
        self,
        info: Info,
        sent: Annotated[
            DeriveDatasetInput,
            strawberry.argument(name="input", description="The dataset to make."),
        ],
    ) -> DeriveDatasetResult:
        service = info.context.service
        row = await derivation.derive(
            info.context.viewer, sent.draft(), settings=service.settings, queue=service.queue
        )
        return Dataset.of(row)
