"""What every event of a job has, and those that tell how its data came about."""

from datetime import datetime

import strawberry

from schema.scalars import BigInt

__all__ = ["DataPrepared", "DataProgress", "TrainingEvent"]


@strawberry.interface(description="Something that happened to a job.")
class TrainingEvent:
    seq: int = strawberry.field(description="Its number in the job's history, from 1, no gap.")
    at: datetime = strawberry.field(description="When it happened.")
    attempt: int = strawberry.field(description="The attempt in which it happened.")


@strawberry.type(description="Records are being tokenised, which later runs will not wait for.")
class DataProgress(TrainingEvent):
    records: int = strawberry.field(description="How many are, by now.")
    progress: float = strawberry.field(description="How far that is, 0 to 100.")


@strawberry.type(description="The records were split and tokenised.")
class DataPrepared(TrainingEvent):
    dataset_records: int | None = strawberry.field(
        default=None, description="Records in the dataset; null in events of older versions."
    )
    sampled_records: int | None = strawberry.field(
        default=None, description="Those of them taken: all, unless `maxSamples` asks for fewer."
    )
    training_records: int = strawberry.field(description="Records to train on.")
    validation_records: int = strawberry.field(description="Records held out.")
    dropped_records: int = strawberry.field(
        description="Records left out: with no trained token, or too long."
    )
    truncated_records: int = strawberry.field(description="Records that were too long, and cut.")
    tokens: BigInt = strawberry.field(description="Tokens in one epoch.")
    trained_tokens: BigInt = strawberry.field(description="Those of them that bear loss.")
    total_steps: int = strawberry.field(description="Optimizer steps in all.")
    leaked_records: int = strawberry.field(default=0, description="Left out, being on both sides.")
    stratified_by: str | None = strawberry.field(
        default=None, description="What was taken for the records' labels; null where nothing was."
    )
    tokens_reused: bool = strawberry.field(default=False, description="Whether they were there.")
