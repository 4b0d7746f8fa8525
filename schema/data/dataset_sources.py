"""Where a dataset's records come from: asked for, and told."""

from typing import Annotated, TypeAlias

import strawberry

from jobs.errors import InvalidInput
from jobs.models import Dataset as DatasetRow
from schema.enums import describe
from schema.scalars import JSON, BigInt
from training.data.containers.prose import Division
from training.data.ingest import spec

__all__ = [
    "DatasetSource",
    "DatasetSourceInput",
    "Division",
    "HubDatasetInput",
    "refuse_division",
    "source_of",
]

describe(
    Division,
    "How a plain text is cut into records; what has rows of its own is not cut. Blank lines around a "
    "record are left out.",
    {
        "PASSAGES": "As many whole paragraphs as 3000 bytes hold; a longer one is cut between lines.",
        "PARAGRAPHS": "Paragraphs, which end at blank lines.",
        "LINES": "Lines.",
        "WHOLE": "The file is one record.",
    },
    name="TextDivision",
)


@strawberry.input(description="A split of a dataset of the Hugging Face hub.")
class HubDatasetInput:
    id: str = strawberry.field(description="Its id there, OWNER/NAME.")
    config: str | None = strawberry.field(
        default=None, description="The configuration; the only or the default one, if left out."
    )
    split: str = strawberry.field(default="train", description="The split.")
    revision: str | None = strawberry.field(
        default=None, description="A branch, a tag or a commit; the newest commit, if left out."
    )


@strawberry.input(description="Where the records come from; exactly one is given.", one_of=True)
class DatasetSourceInput:
    records: list[JSON] | None = strawberry.field(
        default=strawberry.UNSET, description="The records themselves, in any of the formats."
    )
    upload_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="An upload that is READY, of any size: JSONL, JSON, CSV, Parquet, plain text or "
        "source code, or a zip or tar of such; all but Parquet also by gzip or zstd. A worker then makes the dataset: follow its `status`. The upload is gone "
        "once that is READY, and kept if it FAILED.",
    )
    hub: HubDatasetInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="A split of the hub, of at most the size of an upload. A worker fetches its Parquet, "
        "JSONL, JSON or CSV files, all of one commit, and makes the dataset as of an upload. What the "
        "hub refuses makes it FAILED, with a code such as HUB_SPLIT_UNKNOWN.",
    )


@strawberry.type(description="A file that was uploaded.")
class UploadSource:
    name: str = strawberry.field(description="What it was called.")
    size_bytes: BigInt | None = strawberry.field(
        description="Its size; null for a dataset made before it was kept."
    )
    division: Division = strawberry.field(description="How it was to be cut if it is plain text.")


@strawberry.type(description="A split of a dataset of the Hugging Face hub.")
class HubSource:
    id: str = strawberry.field(description="Its id there.")
    config: str | None = strawberry.field(
        description="Its configuration; null until it is known, where none was asked for."
    )
    split: str = strawberry.field(description="The split.")
    revision: str | None = strawberry.field(
        description="The revision that was asked for; null for the newest."
    )
    commit: str | None = strawberry.field(
        description="The commit that its files were of: with it as `revision` they are the same again. "
        "Null until they were fetched and read."
    )
    partial: bool = strawberry.field(
        description="Whether it is the beginning alone, which is what the hub converts of very large "
        "datasets that only a script could read."
    )
    size_bytes: BigInt | None = strawberry.field(
        description="Of its files together; null until the hub has told it."
    )


DatasetSource: TypeAlias = Annotated[
    UploadSource | HubSource,
    strawberry.union("DatasetSource", description="What a dataset was made of."),
]


def source_of(row: DatasetRow) -> UploadSource | HubSource | None:
    """What a dataset was made of; None for records that were sent, or are another's."""
    size_bytes = None if row.source_bytes is None else BigInt(row.source_bytes)
    if row.hub is not None:
        hub = spec.HubSource.model_validate(row.hub)
        return HubSource(
            id=hub.id,
            config=hub.config,
            split=hub.split,
            revision=hub.revision,
            commit=hub.commit,
            partial=hub.is_partial,
            size_bytes=size_bytes,
        )
    if row.source_name is None:
        return None
    return UploadSource(name=row.source_name, size_bytes=size_bytes, division=row.division)


def refuse_division(division: Division) -> None:
    """InvalidInput where anything but an upload is to be cut."""
    if division is not Division.PASSAGES:
        raise InvalidInput.at(
            ["division"],
            f"The division {division} cuts an upload of plain text, and there is no upload.",
            code="DIVISION_WITHOUT_EFFECT",
            remedy="Leave division out.",
        )
