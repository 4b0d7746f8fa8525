"""What the API answers about versions in production, deleted ones, and two side by side."""

from datetime import datetime
from typing import Any

from api.client.record import Record
from jobs.registry.figures import Figure
from jobs.status import ActivationKind

__all__ = [
    "Activation",
    "ActivationGate",
    "DeletedVersion",
    "FigureBound",
    "GateOptions",
    "VersionComparison",
]


class Account(Record):
    """Who did something."""

    email: str


class Activation(Record):
    """One change of a model's version in production. `by` is null if that is somebody else."""

    number: int
    kind: ActivationKind
    version_name: str
    reason: str | None
    forced: bool
    at: datetime
    by: Account | None


class FigureBound(Record):
    """What a figure of a version's newest evaluation must be: the least or the most, or no worse than
    that of the version in production."""

    figure: Figure
    bound: float | None = None
    not_worse: bool = False


class GateOptions(Record):
    """What a model's versions are to be to go into production."""

    min_accuracy: float | None = None
    max_loss: float | None = None
    not_worse: bool = False
    figures: tuple[FigureBound, ...] = ()
    test_dataset_id: str | None = None


class ActivationGate(Record):
    """What a version must be to go into production; anything, unless it is said."""

    min_accuracy: float | None = None
    max_loss: float | None = None
    not_worse: bool = False
    figures: tuple[FigureBound, ...] = ()
    test_dataset_sha256: str | None = None


class DeletedVersion(Record):
    """What the deletion of a version removed."""

    deleted_exports: int
    freed_bytes: int


class ConfigDifference(Record):
    """A field of the config in which two versions differ."""

    path: tuple[str, ...]
    a: Any
    b: Any


class ComparedMetric(Record):
    """A figure of two versions; null where it was not measured."""

    name: str
    a: float | None
    b: float | None


class ComparedSample(Record):
    """What two versions answer to one prompt."""

    prompt: str
    a: str | None
    b: str | None


class VersionName(Record):
    """A version by its name."""

    version: str


class VersionComparison(Record):
    """Two versions side by side."""

    a: VersionName
    b: VersionName
    same_data: bool
    same_held_out_rows: bool
    config: tuple[ConfigDifference, ...]
    metrics: tuple[ComparedMetric, ...]
    samples: tuple[ComparedSample, ...]
