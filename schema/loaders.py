"""Related things for a whole list at once: one query a kind, however many ask for theirs.

Every loader gives only what the viewer may see; for another there is None, or no entry in a list.
Loaders live for one operation.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader
from tortoise.models import Model as Table
from tortoise.queryset import QuerySet

from jobs import models as tables
from jobs.access import Role, Viewer, visible
from jobs.fleet import workers
from jobs.registry import generations
from jobs.status import ENDED, VersionStatus
from schema.accounts import User
from schema.data.datasets import Dataset
from schema.nodes import required
from schema.registry.evaluations import Evaluation
from schema.registry.exports import Export
from schema.registry.models import Model
from schema.registry.versions import ModelVersion
from schema.runs.checkpoints import Checkpoint, EpochMetrics
from schema.runs.training_jobs import TrainingJob

__all__ = ["Loaders"]

RowT = TypeVar("RowT", bound=Table)
NodeT = TypeVar("NodeT")


class Loaders:
    """One operation's loaders, each made when first used."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer

    @cached_property
    def users(self) -> DataLoader[UUID, User | None]:
        """Accounts by id: the viewer's own, or any for an ADMIN."""

        def find(keys: list[UUID]) -> QuerySet[tables.User]:
            if self._viewer.role is Role.ADMIN:
                return tables.User.filter(id__in=keys)
            return tables.User.filter(id__in=[key for key in keys if key == self._viewer.user_id])

        return _one(find, lambda row: row.id, User.of)

    @cached_property
    def models(self) -> DataLoader[UUID, Model | None]:
        """Registered models by id; everybody sees them."""
        return _one(lambda keys: tables.BaseModel.filter(id__in=keys), lambda row: row.id, Model.of)

    @cached_property
    def datasets(self) -> DataLoader[UUID, Dataset | None]:
        """Datasets by id."""
        return _one(
            lambda keys: visible(self._viewer, tables.Dataset.filter(id__in=keys, deleting=False)),
            lambda row: row.id,
            Dataset.of,
        )

    @cached_property
    def dataset_versions(self) -> DataLoader[UUID, tables.DatasetVersion | None]:
        """Places in lines of descent with what is above them, by the id of a dataset that is known
        to be visible."""
        return _one(
            lambda keys: tables.DatasetVersion.filter(dataset_id__in=keys).select_related("parent"),
            _dataset_of,
            lambda row: row,
        )

    @cached_property
    def derivations(self) -> DataLoader[UUID, tables.Derivation | None]:
        """What datasets that are not READY are derived from, by the id of one that is known to be
        visible."""
        return _one(
            lambda keys: tables.Derivation.filter(id__in=keys).only("id", "parent_id"),
            lambda row: row.id,
            lambda row: row,
        )

    @cached_property
    def examinations(self) -> DataLoader[UUID, tables.Examination | None]:
        """Looks at the records of datasets, by the id of a dataset that is known to be visible."""
        return _one(
            lambda keys: tables.Examination.filter(id__in=keys), lambda row: row.id, lambda row: row
        )

    @cached_property
    def jobs(self) -> DataLoader[UUID, TrainingJob | None]:
        """Training jobs by id."""
        return _one(
            lambda keys: visible(self._viewer, tables.TrainingJob.filter(id__in=keys)),
            lambda row: row.id,
            TrainingJob.of,
        )

    @cached_property
    def versions(self) -> DataLoader[UUID, ModelVersion | None]:
        """Model versions by id."""
        return _one(
            lambda keys: visible(self._viewer, tables.ModelVersion.filter(id__in=keys)),
            lambda row: row.id,
            ModelVersion.of,
        )

    @cached_property
    def version_of_job(self) -> DataLoader[UUID, ModelVersion | None]:
        """The version that a job made, by the job's id."""
        return _one(
            lambda keys: visible(self._viewer, tables.ModelVersion.filter(job_id__in=keys)),
            lambda row: row.job_id,
            ModelVersion.of,
        )

    @cached_property
    def active_version(self) -> DataLoader[UUID, ModelVersion | None]:
        """The version in production, by the model's id."""

        def find(keys: list[UUID]) -> QuerySet[tables.ModelVersion]:
            rows = tables.ModelVersion.filter(model_id__in=keys, status=VersionStatus.ACTIVE)
            return visible(self._viewer, rows)

        return _one(find, lambda row: row.model_id, ModelVersion.of)

    @cached_property
    def running_jobs(self) -> DataLoader[UUID, list[TrainingJob]]:
        """Jobs that have not ended, oldest first, by the model's id."""

        def find(keys: list[UUID]) -> QuerySet[tables.TrainingJob]:
            rows = tables.TrainingJob.filter(model_id__in=keys, status__not_in=list(ENDED))
            return visible(self._viewer, rows).order_by("created_at", "id")

        return _many(find, lambda row: row.model_id, TrainingJob.of)

    @cached_property
    def most_devices(self) -> DataLoader[float, int]:
        """Devices of the largest worker that is there, by how long a worker may be silent, in
        seconds."""

        async def load(keys: list[float]) -> Sequence[int]:
            return [await workers.most_devices(each) for each in keys]

        return DataLoader(load)

    @cached_property
    def epochs(self) -> DataLoader[UUID, list[EpochMetrics]]:
        """Finished epochs in order, by the id of a job that is known to be visible."""
        return _many(
            lambda keys: tables.Epoch.filter(job_id__in=keys).order_by("epoch"),
            lambda row: row.job_id,
            EpochMetrics.of,
        )

    @cached_property
    def checkpoints(self) -> DataLoader[UUID, list[Checkpoint]]:
        """Stored checkpoints in order, by the id of a job that is known to be visible."""
        return _many(
            lambda keys: tables.Checkpoint.filter(job_id__in=keys).order_by("step", "id"),
            lambda row: row.job_id,
            Checkpoint.of,
        )

    @cached_property
    def checkpoint(self) -> DataLoader[UUID, Checkpoint | None]:
        """Checkpoints by id."""

        def find(keys: list[UUID]) -> QuerySet[tables.Checkpoint]:
            rows = tables.Checkpoint.filter(id__in=keys)
            if self._viewer.role is Role.ADMIN:
                return rows
            return rows.filter(job__owner_id=self._viewer.user_id)

        return _one(find, lambda row: row.id, Checkpoint.of)

    @cached_property
    def evaluations(self) -> DataLoader[UUID, list[Evaluation]]:
        """Evaluations, newest first, by the version's id."""

        def find(keys: list[UUID]) -> QuerySet[tables.Evaluation]:
            rows = tables.Evaluation.filter(version_id__in=keys)
            return visible(self._viewer, rows).order_by("-created_at", "-id")

        return _many(find, lambda row: row.version_id, Evaluation.of)

    @cached_property
    def latencies(self) -> DataLoader[UUID, float | None]:
        """Median seconds of newest answers, by the id of a version that is known to be visible."""

        async def load(keys: list[UUID]) -> Sequence[float | None]:
            found = await generations.latency(keys)
            return [found.get(key) for key in keys]

        return DataLoader(load)

    @cached_property
    def exports(self) -> DataLoader[UUID, list[Export]]:
        """Exports, newest first, by the version's id."""

        def find(keys: list[UUID]) -> QuerySet[tables.Export]:
            rows = tables.Export.filter(version_id__in=keys)
            return visible(self._viewer, rows).order_by("-created_at", "-id")

        return _many(find, lambda row: row.version_id, Export.of)


def _dataset_of(version: tables.DatasetVersion) -> UUID:
    return required(version.dataset_id)


def _one(
    find: Callable[[list[UUID]], QuerySet[RowT]],
    key_of: Callable[[RowT], UUID],
    to_node: Callable[[RowT], NodeT],
) -> DataLoader[UUID, NodeT | None]:
    async def load(keys: list[UUID]) -> Sequence[NodeT | None]:
        nodes = {key_of(row): to_node(row) for row in await find(keys)}
        return [nodes.get(key) for key in keys]

    return DataLoader(load)


def _many(
    find: Callable[[list[UUID]], QuerySet[RowT]],
    key_of: Callable[[RowT], UUID],
    to_node: Callable[[RowT], NodeT],
) -> DataLoader[UUID, list[NodeT]]:
    async def load(keys: list[UUID]) -> Sequence[list[NodeT]]:
        nodes: dict[UUID, list[NodeT]] = defaultdict(list)
        for row in await find(keys):
            nodes[key_of(row)].append(to_node(row))
        return [nodes[key] for key in keys]

    return DataLoader(load)
