"""What a training job leaves behind while it runs: epochs and checkpoints."""

from datetime import datetime

import strawberry

from jobs.models import Checkpoint as CheckpointRow
from jobs.models import Epoch as EpochRow
from schema import ids
from schema.nodes import Node
from schema.scalars import BigInt

__all__ = ["Checkpoint", "EpochMetrics"]


@strawberry.type(description="A finished epoch: means over its tokens.")
class EpochMetrics:
    epoch: int = strawberry.field(description="Which one, from 1.")
    training_loss: float = strawberry.field(description="Over the training rows, as it ran.")
    training_accuracy: float = strawberry.field(description="Share of tokens foretold, 0 to 1.")
    validation_loss: float | None = strawberry.field(
        description="Over the rows held out; null where none were."
    )
    validation_accuracy: float | None = strawberry.field(
        description="Share of tokens foretold of the rows held out; null where none were."
    )
    duration_seconds: float = strawberry.field(description="How long it took.")

    @classmethod
    def of(cls, row: EpochRow) -> "EpochMetrics":
        return cls(
            epoch=row.epoch,
            training_loss=row.training_loss,
            training_accuracy=row.training_accuracy,
            validation_loss=row.validation_loss,
            validation_accuracy=row.validation_accuracy,
            duration_seconds=row.duration_seconds,
        )


@strawberry.type(description="A stored state of a training job, to resume from or to choose.")
class Checkpoint(Node):
    name: str = strawberry.field(description="Its folder's name.")
    epoch: int = strawberry.field(description="The last finished epoch in it.")
    step: int = strawberry.field(description="The last optimizer step in it.")
    validation_loss: float | None = strawberry.field(
        description="Over the rows held out; null where none were."
    )
    accuracy: float | None = strawberry.field(
        description="Share of tokens foretold of the rows held out; null where none were."
    )
    size_bytes: BigInt = strawberry.field(description="Its size on disk.")
    best: bool = strawberry.field(description="Whether it is the best of its job so far.")
    score: float | None = strawberry.field(
        description="The loss it is judged by: of the rows held out, or of the training rows if "
        "none were. Null for one saved amid an epoch."
    )
    requested: bool = strawberry.field(
        description="Whether it was asked for, and so stays until cleanupCheckpoints."
    )
    created_at: datetime = strawberry.field(description="When it was written.")

    @classmethod
    def of(cls, row: CheckpointRow) -> "Checkpoint":
        return cls(
            id=ids.encode(ids.Kind.CHECKPOINT, row.id),
            name=row.name,
            epoch=row.epoch,
            step=row.step,
            validation_loss=row.validation_loss,
            accuracy=row.accuracy,
            size_bytes=BigInt(row.size_bytes),
            best=row.best,
            score=row.score,
            requested=row.requested,
            created_at=row.created_at,
        )
