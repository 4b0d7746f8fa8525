"""What the API answers about checkpoints."""

from datetime import datetime

from api.client.results import Record

__all__ = ["Checkpoint", "CleanedCheckpoints"]


class Checkpoint(Record):
    """A stored state of a job. `score` is the loss it is judged by, null amid an epoch."""

    id: str
    name: str
    epoch: int
    step: int
    score: float | None
    validation_loss: float | None
    size_bytes: int
    best: bool
    requested: bool
    created_at: datetime


class CleanedCheckpoints(Record):
    """What a clean-up deleted, by name, and what it left."""

    deleted: tuple[str, ...]
    freed_bytes: int
    kept: tuple[Checkpoint, ...]
