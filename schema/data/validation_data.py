"""What a run is tested with, where that is a dataset of its own."""

import strawberry

from jobs.models import TrainingJob as JobRow
from schema.context import Info
from schema.data.datasets import Dataset

__all__ = ["ValidationData"]


@strawberry.type(description="A dataset that a run tests with.")
class ValidationData:
    name: str = strawberry.field(description="Its name, kept when it is deleted.")
    sha256: str = strawberry.field(description="Of its records, kept when it is deleted.")
    version: int = strawberry.field(
        description="Its number in its line of descent, kept when it is deleted."
    )
    row: strawberry.Private[JobRow]

    @classmethod
    def of(cls, row: JobRow) -> "ValidationData | None":
        if row.validation_name is None:
            return None
        return cls(
            name=row.validation_name,
            sha256=row.validation_sha256 or "",
            version=row.validation_version or 1,
            row=row,
        )

    @strawberry.field(description="The dataset; null once it was deleted.")
    async def dataset(self, info: Info) -> Dataset | None:
        if self.row.validation_dataset_id is None:
            return None
        return await info.context.loaders.datasets.load(self.row.validation_dataset_id)
